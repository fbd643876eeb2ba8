// Clients of the Mercure protocol, unmodified, as npm and PyPI have them: whoever uses one changes the hub's URL and is done.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { NO_BROWSER, openBrowser, openTab } from "./browser.js";
import { NO_BINARY, Program, listen, until } from "./hub.js";
import { hubWithKeys } from "./keys.js";

const run = promisify(execFile);
const CLIENTS = new URL("./mercure-clients/", import.meta.url).pathname;
const PYTHON = join(CLIENTS, ".venv/bin/python");
const NO_NPM = existsSync(join(CLIENTS, "node_modules/mercure")) ? false : "tests/e2e/mercure-clients has no node_modules: npm ci";
const NO_PYTHON = existsSync(PYTHON) ? false : "tests/e2e/mercure-clients has no .venv: cargo xtask test makes it";
const TOPIC = "https://example.com/books/1";

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token as every issuer of the deployed protocol makes it. */
function token(key, mercure) {
  const signed = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url({ mercure })}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

/** A hub with keys that lets anybody read what is public. */
async function openHub(t, args = []) {
  const { hub, key } = await hubWithKeys(t, ["--anonymous", "subscribe", ...args]);
  return { hub, key: readFileSync(key, "utf8").trim(), endpoint: `${hub.url}/.well-known/mercure` };
}

/** What npm's `eventsource` gets from the hub, private events too. */
async function subscribe(t, endpoint, key, types = []) {
  const { EventSource } = createRequire(join(CLIENTS, "package.json"))("eventsource");
  const url = new URL(endpoint);
  url.searchParams.append("topic", "https://example.com/books/{id}");
  url.searchParams.append("authorization", token(key, { subscribe: ["*"] }));
  const source = new EventSource(url);
  t.after(() => source.close());
  const got = [];
  const keep = ({ data, lastEventId, type }) => got.push({ data, id: lastEventId, type });
  for (const type of ["message", ...types]) source.addEventListener(type, keep);
  await until("the stream to open", () => source.readyState === 1);
  return got;
}

test("npm's mercure publishes", { skip: NO_BINARY || NO_NPM }, async (t) => {
  const { hub, key, endpoint } = await openHub(t);
  const got = await subscribe(t, endpoint, key, ["note"]);
  const { Publisher } = createRequire(join(CLIENTS, "package.json"))("mercure");
  const { hostname, port } = new URL(hub.url);
  const publisher = new Publisher({
    protocol: "http", host: hostname, port: Number(port), path: "/.well-known/mercure",
    jwt: token(key, { publish: ["https://example.com/books/{id}", "https://example.com/alternate"] }),
  });
  const first = await publisher.publish([TOPIC, "https://example.com/alternate"], "hello");
  const second = await publisher.publish(TOPIC, "typed", { id: "urn:its-own", type: "note", retry: 1000 });
  await until("both events", () => got.length === 2);
  assert.deepEqual(got, [
    { data: "hello", id: first, type: "message" },
    { data: "typed", id: "urn:its-own", type: "note" },
  ]);
  assert.equal(second, "urn:its-own");
  await assert.rejects(publisher.publish("https://example.com/authors/1", "x"), /401/);
});

test("PyPI's pymercure publishes and consumes", { skip: NO_BINARY || NO_NPM || NO_PYTHON }, async (t) => {
  const { key, endpoint } = await openHub(t);
  const got = await subscribe(t, endpoint, key, ["note"]);
  const consumer = new Program(t, PYTHON, [join(CLIENTS, "pymercure_consume.py"), endpoint, TOPIC]);
  await until("the consumer to connect", () => consumer.lines.includes("connected"), 30_000);
  const env = { ...process.env, TOKEN: token(key, { publish: ["*"] }) };
  const { stdout } = await run(PYTHON, [join(CLIENTS, "pymercure_publish.py"), endpoint, TOPIC, "urn:alternate"], { env });
  const ids = ["urn:pymercure:SyncPublisher", "urn:pymercure:AsyncPublisher"];
  assert.deepEqual(stdout.trim().split("\n"), ids);
  const wanted = ids.map((id) => ({ data: `from ${id.split(":")[2]}\nin two lines`, id, type: "note" }));
  await until("both events", () => got.length === 2 && consumer.lines.length >= 3);
  assert.deepEqual(got, wanted);
  const consumed = consumer.lines.filter((line) => line !== "connected").map((line) => JSON.parse(line));
  assert.deepEqual(consumed, wanted);
});

test("PyPI's mercure-publisher publishes with tokens of its own making", { skip: NO_BINARY || NO_NPM || NO_PYTHON }, async (t) => {
  const { key, endpoint } = await openHub(t);
  const got = await subscribe(t, endpoint, key, ["note"]);
  const script = join(CLIENTS, "mercure_publisher_publish.py");
  const { stdout } = await run(PYTHON, [script, endpoint, TOPIC], { env: { ...process.env, KEY: key } });
  const [first, second, refused] = stdout.trim().split("\n");
  await until("both events", () => got.length === 2);
  assert.deepEqual(got, [
    { data: '{"from": "MercurePublisher"}', id: first, type: "note" },
    { data: "from AsyncMercurePublisher", id: "urn:async", type: "message" },
  ]);
  assert.deepEqual([second, refused], ["urn:async", "refused 401"]);
});

/** A page of an application: Symfony's element with Turbo under it, as its import map loads them. */
function applicationPage(endpoint) {
  const source = new URL(endpoint);
  source.searchParams.append("topic", TOPIC);
  return `<!doctype html><script type="importmap">{"imports": {"@hotwired/turbo": "/turbo.js"}}</script>
<script type="module" src="/element.js"></script>
<turbo-mercure-stream-source src="${source.href.replaceAll("&", "&amp;")}" private></turbo-mercure-stream-source>
<div id="books"></div>`;
}

test("Symfony UX Turbo's element shows private events in a page, by cookie", { skip: NO_BINARY || NO_NPM || NO_BROWSER, timeout: 60_000 }, async (t) => {
  const files = {
    "/turbo.js": join(CLIENTS, "node_modules/@hotwired/turbo/dist/turbo.es2017-esm.js"),
    "/element.js": join(CLIENTS, "node_modules/@symfony/ux-turbo/dist/mercure_stream_source_element.js"),
  };
  let cookie;
  let endpoint;
  const application = createServer((request, response) => {
    const file = files[request.url];
    if (file) return response.setHeader("content-type", "text/javascript").end(readFileSync(file));
    response.setHeader("set-cookie", `mercureAuthorization=${cookie}; Path=/.well-known/mercure; HttpOnly; SameSite=Strict`);
    return response.setHeader("content-type", "text/html").end(applicationPage(endpoint));
  });
  const origin = `http://localhost:${await listen(t, application)}`;
  const { hub, key } = await openHub(t, ["--cors-origins", origin]);
  cookie = token(key, { subscribe: [TOPIC] });
  // Cookies know hosts, not ports: the application's is sent to the hub on the same host.
  const local = hub.url.replace("127.0.0.1", "localhost");
  endpoint = `${local}/.well-known/mercure`;

  const tab = await openTab(await openBrowser(t), `${origin}/`);
  await tab.waitForSelector("turbo-mercure-stream-source[connected]", { state: "attached" });
  const data = '<turbo-stream action="append" target="books"><template><p>Dune</p></template></turbo-stream>';
  const published = await fetch(endpoint, {
    method: "POST",
    headers: { authorization: `Bearer ${token(key, { publish: [TOPIC] })}` },
    body: new URLSearchParams({ topic: TOPIC, data, private: "on" }),
  });
  assert.equal(published.status, 200, await published.text());
  await tab.waitForSelector("#books p");
  assert.equal(await tab.textContent("#books"), "Dune");
  assert.deepEqual(tab.faults, []);
});
