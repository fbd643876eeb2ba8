// The clients, and how each is run: a program or a page that shows every event it gets as one line of JSON.

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { NO_BROWSER } from "../e2e/browser.js";
import { openPage } from "./page.js";

const HERE = new URL(".", import.meta.url).pathname;
const ROOT = new URL("../../", import.meta.url).pathname;
/** Where `cargo xtask test` builds those that are built. */
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
const BUILT = join(TARGET, "clients");

/** A type that the driver publishes; EventSource shows only types that it is asked for. */
export const NAMED_TYPE = "note";

/** A client that runs as a program: what it showed so far, whether it has ended, what it complained of. */
class Process {
  constructor(t, [command, ...args]) {
    // A group of its own, so that a shell's children end with it.
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    Object.assign(this, { seen: [], isOver: false, complaints: "" });
    createInterface({ input: this.child.stdout }).on("line", (line) => this.seen.push(JSON.parse(line)));
    this.child.stderr.setEncoding("utf8").on("data", (text) => { this.complaints += text; });
    this.ended = new Promise((resolve) => {
      this.child.on("error", (error) => { this.complaints += error; resolve(); });
      this.child.on("close", resolve);
    }).then(() => { this.isOver = true; });
    t.after(() => this.end());
  }

  async end() {
    if (this.isOver) return;
    process.kill(-this.child.pid, "SIGKILL");
    await this.ended;
  }
}

/** The version that a lock file names: the first thing in it that the pattern finds. */
const locked = (file, pattern) => () => readFileSync(join(HERE, file), "utf8").match(pattern)?.[1];

const program = (needs, version, command) => ({
  missing: needs.find((path) => !existsSync(path)),
  version,
  start: (t, url, { again }) => new Process(t, [...command(url), ...(again ? ["--again"] : [])]),
});

const fromNpm = (name) => locked("package-lock.json", new RegExp(`"node_modules/${name}": \\{\\s+"version": "([^"]+)"`));

function inNode(name) {
  const script = join(HERE, "node", `${name}.js`);
  return program([join(HERE, "node_modules", name)], fromNpm(name), (url) => [process.execPath, script, url, NAMED_TYPE]);
}

const inPage = (script, name) => ({
  missing: NO_BROWSER || [join(HERE, "node_modules")].find((path) => !existsSync(path)),
  version: name && fromNpm(name),
  start: (t, url, { browser }) => openPage(t, browser, script, url, NAMED_TYPE),
});

function inPython(name, script) {
  const python = join(HERE, "python/.venv/bin/python");
  const version = locked("python/requirements.txt", new RegExp(`^${name}==(\\S+)`, "m"));
  return program([python], version, (url) => [python, join(HERE, "python", script), url]);
}

function inRust(name) {
  const matrix = join(TARGET, "rust-clients/debug/matrix");
  const version = locked("rust/Cargo.lock", new RegExp(`name = "${name}"\\nversion = "([^"]+)"`));
  return program([matrix], version, (url) => [matrix, "--client", name, "--url", url]);
}

function inGo(folder, module) {
  const built = join(BUILT, "go", folder);
  return program([built], locked("go/go.mod", new RegExp(`${module} v(\\S+)`)), (url) => [built, url]);
}

function inJava() {
  const classes = join(BUILT, "java");
  const version = locked("java/pom.xml", /<artifactId>okhttp-eventsource<\/artifactId>\s+<version>([^<]+)/);
  return program([join(classes, "Client.class")], version, (url) => ["java", "-XX:TieredStopAtLevel=1", "-cp", `${classes}:${join(classes, "*")}`, "Client", url]);
}

const withCurl = (...options) => program(["/usr/bin/curl", "/bin/bash"], undefined, (url) => ["/bin/bash", join(HERE, "curl/loop.sh"), url, ...options]);

/**
 * By the names that docs/clients.md gives them. `byHand`: reconnecting is a loop around it, its own README's or ours. `again`: it stops at
 * some ends, and its program starts it again where every event is to be seen. `tires`: it waits longer after each outage. `framing`: other than HTTP/1.1 in the clear.
 */
export const CLIENTS = [
  { name: "Chromium's EventSource", ...inPage("chromium") },
  { name: "the same, HTTP/2 over TLS", ...inPage("chromium"), framing: "TLS" },
  { name: "event-source-polyfill", ...inPage("event-source-polyfill", "event-source-polyfill") },
  { name: "@microsoft/fetch-event-source", ...inPage("fetch-event-source", "@microsoft/fetch-event-source") },
  { name: "eventsource (npm)", ...inNode("eventsource") },
  { name: "undici's EventSource", ...inNode("undici") },
  { name: "httpx-sse", ...inPython("httpx-sse", "httpx_sse_loop.py"), byHand: true },
  { name: "the same, the loop of its README", ...inPython("httpx-sse", "httpx_sse_readme.py"), byHand: true },
  { name: "sseclient-py", ...inPython("sseclient-py", "sseclient_py.py"), byHand: true },
  { name: "eventsource-client", ...inRust("eventsource-client"), tires: true },
  { name: "reqwest-eventsource", ...inRust("reqwest-eventsource") },
  { name: "eventsource-stream", ...inRust("eventsource-stream"), byHand: true },
  { name: "tidewire-client", ...inRust("tidewire-client") },
  { name: "r3labs/sse", ...inGo("r3labs", "github.com/r3labs/sse/v2"), again: true, tires: true },
  { name: "tmaxmax/go-sse", ...inGo("tmaxmax", "github.com/tmaxmax/go-sse") },
  { name: "okhttp-eventsource", ...inJava(), tires: true },
  { name: "curl, HTTP/1.1", ...withCurl("--http1.1"), byHand: true },
  { name: "curl, HTTP/2", ...withCurl("--http2-prior-knowledge"), byHand: true, framing: "HTTP/2" },
  { name: "curl, HTTP/2 over TLS", ...withCurl("--http2", "--insecure"), byHand: true, framing: "TLS" },
];
