// The README's four ways to subscribe: taken out of the page, run as they stand but for the port, and cut by a restart of the hub.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";

import { NO_BROWSER, openBrowser, openTab } from "./browser.js";
import { Hub, NO_BINARY, Program, listen, temporaryFolder, until } from "./hub.js";

const ROOT = new URL("../../", import.meta.url).pathname;
const HUB = "http://127.0.0.1:8080";
const readme = readFileSync(join(ROOT, "README.md"), "utf8");

/** The code blocks under a heading, each with its language. */
function snippets(title) {
  const section = readme.split(`\n### ${title}\n`)[1]?.split(/\n##+ /)[0];
  assert.ok(section, `README.md has no section ${title}`);
  return [...section.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, code]) => ({ language, code }));
}

/** The only block of a language, with the hub where it is. */
function snippet(title, language, hub) {
  const found = snippets(title).filter((one) => one.language === language);
  assert.equal(found.length, 1, `${title}: one block of ${language}`);
  const [{ code }] = found;
  if (!hub) return code;
  assert.ok(code.includes(`${HUB}/topics/clock`), `${title} reads the feed of the README`);
  return code.replaceAll(HUB, hub.url);
}

const run = (t, code, options) => new Program(t, "bash", ["-c", `set -e\n${code}`], options);
const missing = (program) => {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return `there is no ${program}`;
  }
};

/** A hub that also says how many subscribe. */
const start = (t) => Hub.start(t, ["--admin-listen", "127.0.0.1:0"]);

const subscribed = (hub) => until("the subscriber", async () => {
  const admin = hub.program.stderr.match(/^admin (\S+)/m)?.[1];
  if (!admin) return false;
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  return /^tidewire_subscribers\{[^}]*\} [1-9]/m.test(metrics);
}, 60_000);

/** Reads through a restart: what is published before, while nobody can listen, and after is seen, each once. */
async function throughARestart(hub, seen) {
  await subscribed(hub);
  await hub.publish("clock", "before");
  await until("the first event", async () => (await seen()).includes("before"), 60_000);
  await hub.kill();
  await hub.start();
  await hub.publish("clock", "meanwhile");
  await hub.publish("clock", "after");
  await until("the last event", async () => (await seen()).includes("after"), 60_000);
  assert.deepEqual((await seen()).filter((line) => line !== ""), ["before", "meanwhile", "after"]);
}

test("the README's line for a shell", { skip: NO_BINARY || missing("curl") }, async (t) => {
  const hub = await start(t);
  const curl = run(t, snippet("From a shell", "sh", hub));
  await subscribed(hub);
  await hub.publish("clock", "hello");
  await until("the event", () => curl.lines.includes("data: hello"));
});

test("the README's page, through a restart of the hub", { skip: NO_BINARY || NO_BROWSER }, async (t) => {
  const hub = await start(t);
  const page = snippet("From a page", "html", hub);
  const port = await listen(t, createServer((request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end(page);
  }));
  const tab = await openTab(await openBrowser(t), `http://127.0.0.1:${port}/clock.html`);
  await throughARestart(hub, () => tab.$$eval("#events li", (lines) => lines.map((line) => line.textContent)));
  assert.deepEqual(tab.faults, []);
});

test("the README's program in Python, through a restart of the hub", { skip: NO_BINARY || missing("python3") }, async (t) => {
  const hub = await start(t);
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "clock.py"), snippet("From Python", "python", hub));
  const python = run(t, "exec python3 clock.py", { cwd: folder });
  await throughARestart(hub, () => python.lines.filter((line) => !line.startsWith("again in a second:")));
});

test("the README's program in Rust, through a restart of the hub", { skip: NO_BINARY || missing("cargo") }, async (t) => {
  const hub = await start(t);
  const folder = join(temporaryFolder(t), "clock");
  const env = {
    ...process.env,
    // What the workspace was built from is here already; what it was built to is used again where it can be.
    CARGO_NET_OFFLINE: "true",
    CARGO_TARGET_DIR: process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"),
    CARGO_PROFILE_DEV_DEBUG: "line-tables-only",
  };
  const setUp = snippet("From Rust", "sh").replaceAll("/tmp/clock", folder);
  execFileSync("bash", ["-ec", setUp], { cwd: ROOT, env, stdio: "ignore" });
  copyFileSync(join(ROOT, "Cargo.lock"), join(folder, "Cargo.lock"));
  writeFileSync(join(folder, "src/main.rs"), snippet("From Rust", "rust", hub));
  execFileSync("cargo", ["build", "--quiet"], { cwd: folder, env, stdio: ["ignore", "ignore", "inherit"] });
  const rust = new Program(t, "cargo", ["run", "--quiet"], { cwd: folder, env });
  await throughARestart(hub, () => rust.lines);
});
