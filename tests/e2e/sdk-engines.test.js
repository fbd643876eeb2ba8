// Firefox and WebKit: a plain EventSource, the SDK alone and shared, the script for old browsers, through a restart of the hub.

import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";

import { ENGINES } from "./engines.js";
import { Hub, NO_BINARY, listen, until } from "./hub.js";
import { burst, serveSdk, subscribers } from "./sdk.js";

/** The hub with the test's page beside it, for browsers whose requests nobody answers for them. */
async function startFront(t, hub) {
  const server = http.createServer((request, response) => {
    if (serveSdk(request.url, (contentType, body) => response.writeHead(200, { "Content-Type": contentType }).end(body))) return;
    const { hostname, port } = new URL(hub.url);
    const onward = http.request({ hostname, port, method: request.method, path: request.url, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  return `http://127.0.0.1:${await listen(t, server)}`;
}

/** What the page runs; each source notes what it sees under its name. */
const SOURCES = {
  native: () => new EventSource("/topics/news"),
  mercure: () => new EventSource("/.well-known/mercure?topic=news&checkpoint=event"),
  alone: () => new window.TidewireSource("/topics/news", { share: false, backoffMs: 100 }),
  shared: () => new window.TidewireSource("/topics/news", { backoffMs: 100 }),
  old: () => new window.OldSource("/topics/news", { backoffMs: 100 }),
};

const watch = (name, make) => {
  const source = (0, eval)(`(${make})`)();
  window.seen ??= {};
  const seen = (window.seen[name] = []);
  source.onmessage = ({ data }) => seen.push(data);
  window.sources ??= {};
  window.sources[name] = source;
};

for (const { name, open, skip } of ENGINES) {
  test(`${name}: every kind of source sees every event through a restart of the hub`, { skip: NO_BINARY || skip, timeout: 120_000 }, async (t) => {
    const hub = await Hub.start(t, ["--admin-listen", "127.0.0.1:0"]);
    const front = await startFront(t, hub);
    const browser = await open(t);
    const tabs = [await browser.openTab(`${front}/sdk-test.html`), await browser.openTab(`${front}/sdk-test.html`)];
    for (const tab of tabs) await until("the page", () => tab.evaluate(() => window.ready === true));
    // Over HTTP/1.1 a browser has six connections to one host.
    for (const kind of Object.keys(SOURCES)) await tabs[0].evaluate(watch, kind, String(SOURCES[kind]));
    await tabs[1].evaluate(watch, "shared", String(SOURCES.shared));
    const isOpen = () => Object.values(window.sources).every(({ readyState }) => readyState === 1);
    for (const tab of tabs) await until("open sources", () => tab.evaluate(isOpen), 20_000);
    const shares = await tabs[0].evaluate(() => Boolean(self.BroadcastChannel && navigator.locks));
    t.diagnostic(`${shares ? "shares one connection" : "cannot share: each tab for itself"}; streams: ${await subscribers(hub)}`);
    assert.equal(await subscribers(hub), Object.keys(SOURCES).length + (shares ? 0 : 1));

    const restart = async () => {
      await hub.kill();
      await hub.start();
    };
    const sent = await burst(hub, "news", 120, { everyMs: 10, after: { 60: restart } });
    const seen = async () => [...Object.entries(await tabs[0].evaluate(() => window.seen)), ["shared, second tab", await tabs[1].evaluate(() => window.seen.shared)]];
    await until("all events everywhere", async () => (await seen()).every(([, data]) => data.length >= sent.length), 30_000).catch(() => {});
    for (const [kind, data] of await seen()) assert.deepEqual(data, sent, kind);

    // The tab that leads goes.
    await tabs[0].close();
    sent.push(...(await burst(hub, "news", 20, { name: "after" })));
    await until("the other to go on", async () => (await tabs[1].evaluate(() => window.seen.shared)).length >= sent.length);
    assert.deepEqual(await tabs[1].evaluate(() => window.seen.shared), sent);
  });
}
