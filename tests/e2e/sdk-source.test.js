// One source of the browser SDK: what EventSource does, and what it does beyond that.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Hub, NO_BINARY, until } from "./hub.js";
import { hubWithKeys, mint } from "./keys.js";
import { burst, dataOf, expectAll, isOpen, openContext, openSdkTab, seen, startServer, subscribers } from "./sdk.js";

const skip = NO_BINARY || NO_BROWSER;

/** By path. `retry` is 1 ms, but Chromium's own adds to it. */
const SCRIPTS = {
  plain: [{ body: "retry: 10\nid: 1\ndata: a\n\nevent: alarm\ndata: b\ndata: c\n\n: note\n\ndata\n\n" }, { body: "data: after\n\n" }],
  ids: [{ body: "retry: 10\nid: ä€ \ndata: a\n\nid\ndata: b\n\n" }, { body: "id: 7\n\nid: 8\ndata: cut" }, { body: "data: x\n\n" }],
  bom: [{ body: "\ufeffretry: 10\ndata: bom\r\n\r\nevent: open\ndata: mine\n\nevent: alarm\n\ndata: y\n\n" }],
  charset: [{ headers: { "Content-Type": "text/event-stream;charset=utf-8" }, body: "retry: 10\ndata: ü\n\n" }],
  html: [{ headers: { "Content-Type": "text/html" }, body: "data: a\n\n" }],
  missing: [{ status: 404, body: "data: a\n\n" }],
  nothing: [{ status: 204 }],
  moved: [{ status: 307, headers: { Location: "plain" } }, { status: 204 }],
  broken: [{ body: "retry: 10\nid: 3\ndata: a\n\ndata: half", breaks: true }, { body: "data: b\n\n" }],
};

test("what EventSource does, it does", { skip, timeout: 60_000 }, async (t) => {
  const server = await startServer(t, SCRIPTS);
  const context = await openContext(await openBrowser(t));
  const watch = ([name, url]) => new Promise((resolve) => {
    const log = [];
    const source = name === "native" ? new EventSource(url) : new window.TidewireSource(url, { backoffMs: 20 });
    const note = (event) => log.push([event.type, event.data, event.lastEventId, event.origin, source.readyState, event.target === source]);
    const { CONNECTING, OPEN, CLOSED, url: resolved, withCredentials } = source;
    log.push([CONNECTING, OPEN, CLOSED, resolved, withCredentials, source.readyState, source.onopen, source instanceof EventTarget]);
    for (const type of ["open", "message", "alarm"]) source.addEventListener(type, { handleEvent: note });
    source.addEventListener("message", () => log.push("once"), { once: true });
    source.onmessage = () => log.push("replaced");
    source.onmessage = () => log.push("onmessage");
    source.onerror = (event) => {
      note(event);
      if (source.readyState === 2) setTimeout(() => resolve(log), 50);
    };
  });
  const tab = await context.newPage();
  await tab.goto(`${server.url}/sdk-test.html`);
  await tab.waitForFunction(() => window.ready);
  const run = async (name, path) => JSON.stringify(await tab.evaluate(watch, [name, `${name}/${path}?x=1#y`]), null, 1).replaceAll(`/${name}/`, "/");
  for (const path of Object.keys(SCRIPTS)) {
    const [native, sdk] = await Promise.all([run("native", path), run("sdk", path)]);
    assert.equal(sdk, native, path);
    assert.deepEqual(server.asked[`/sdk/${path}`], server.asked[`/native/${path}`], `${path}: last event ids sent`);
  }
});

test("a bad URL is a SyntaxError", { skip, timeout: 60_000 }, async (t) => {
  const server = await startServer(t, {});
  const tab = await (await openContext(await openBrowser(t))).newPage();
  await tab.goto(`${server.url}/sdk-test.html`);
  await tab.waitForFunction(() => window.ready);
  const thrown = (name) => {
    try {
      new (name === "native" ? EventSource : window.TidewireSource)("http://[x");
    } catch (error) {
      return [error instanceof DOMException, error.name];
    }
  };
  assert.deepEqual(await tab.evaluate(thrown, "sdk"), [true, "SyntaxError"]);
  assert.deepEqual(await tab.evaluate(thrown, "native"), [true, "SyntaxError"]);
});

test("close ends everything, at once, whenever it is called", { skip, timeout: 60_000 }, async (t) => {
  const twice = { body: "retry: 10\ndata: a\n\ndata: b\n\n" };
  const server = await startServer(t, { "in-open": [twice], "in-message": [twice], "in-error": [twice], "after-open": [{ ...twice, stays: true }], "before-open": [twice] });
  const tab = await (await openContext(await openBrowser(t))).newPage();
  await tab.goto(`${server.url}/sdk-test.html`);
  await tab.waitForFunction(() => window.ready);
  const begin = ([name, where]) => {
    window.make = (url) => (name === "native" ? new EventSource(url) : new window.TidewireSource(url, { backoffMs: 1 }));
    const source = (window.source = window.make(`${name}/${where}`));
    const log = (window.log = []);
    const note = (type, data) => {
      log.push(data ?? type);
      if (where === `in-${type}`) source.close();
    };
    source.onopen = () => note("open");
    source.onmessage = ({ data }) => {
      note("message", data);
      if (where === "after-open" && data === "b") setTimeout(() => source.close(), 0);
    };
    source.onerror = () => note("error");
    if (where === "before-open") source.close();
  };
  /** Another source begins, is lost and comes back: whatever was still on its way for the first one has come. */
  const beginAnother = (name) => new Promise((resolve) => {
    const other = window.make(`${name}-other/in-error`);
    let errors = 0;
    other.onerror = () => {
      if (++errors < 2) return;
      other.close();
      resolve();
    };
  });
  const table = [
    ["before-open", []],
    ["in-open", ["open"]],
    ["in-message", ["open", "a"]],
    ["in-error", ["open", "a", "b", "error"]],
    ["after-open", ["open", "a", "b"]],
  ];
  for (const [where, want] of table) {
    for (const name of ["native", "sdk"]) {
      await tab.evaluate(begin, [name, where]);
      await until(`${name} ${where}: the end`, () => tab.evaluate((count) => window.log.length >= count && window.source.readyState === 2, want.length));
      server.asked[`/${name}-other/in-error`] = [];
      await tab.evaluate(beginAnother, name);
      assert.deepEqual(await tab.evaluate(() => [window.log, window.source.readyState]), [want, 2], `${name} ${where}`);
      assert.ok((server.asked[`/${name}/${where}`] ?? []).length <= 1, `${name} ${where}: asked again`);
      await until("the server to see it end", () => !server.open.has(`/${name}/${where}`));
    }
  }
});

test("a token that ends is renewed before it does, and a refused one is asked for again", { skip, timeout: 60_000 }, async (t) => {
  const { hub, key } = await hubWithKeys(t);
  hub.publishHeaders = { Authorization: `Bearer ${mint(key, "--publish", "*")}` };
  const context = await openContext(await openBrowser(t));
  const given = [];
  await context.exposeFunction("giveToken", (why) => {
    given.push(why);
    // The first is over, the second ends soon.
    if (given.length === 1) return "nonsense";
    return mint(key, "--subscribe", "*", "--ttl", given.length === 2 ? "3s" : "1h");
  });
  for (const share of [false, "me"]) {
    given.length = 0;
    const tab = await openSdkTab(context, hub.url, "/topics/news", { token: true, share });
    await isOpen(tab);
    await expectAll([tab], await burst(hub, "news", 40, { everyMs: 100, name: `share ${share}` }));
    assert.deepEqual(given.slice(0, 3), ["open", "refused", "expiring"]);
    assert.deepEqual((await seen(tab)).filter(({ type }) => type === "error"), []);
    await tab.close();
  }
  // Refused again and again, it gives up.
  const tab = await openSdkTab(context, hub.url, "/topics/news", { token: true, share: false, backoffMs: 50 });
  await tab.evaluate(() => window.sources[0].close());
  await tab.evaluate(() => {
    window.giveToken = () => "nonsense";
    window.begin("/topics/news", { token: true, backoffMs: 50 });
  });
  await until("the end", () => tab.evaluate(() => window.sources[1].readyState === 2));
});

test("from another origin, with a token in a header", { skip, timeout: 60_000 }, async (t) => {
  const { url: origin } = await startServer(t, {});
  const { hub, key } = await hubWithKeys(t, ["--cors-origins", origin, "--admin-listen", "127.0.0.1:0"]);
  hub.publishHeaders = { Authorization: `Bearer ${mint(key, "--publish", "*")}` };
  // Its page must really come from there: Chromium lets no page from nowhere reach this machine.
  const context = await (await openBrowser(t)).newContext();
  await context.exposeFunction("giveToken", () => mint(key, "--subscribe", "news"));
  const init = { token: true, share: "user 7", backoffMs: 100 };
  const tabs = [];
  for (const each of [init, init, { ...init, share: undefined }]) tabs.push(await openSdkTab(context, origin, `${hub.url}/topics/news`, each));
  await Promise.all(tabs.map(isOpen));
  assert.equal(await subscribers(hub), 2, "who is named the same shares; who is not named does not");
  const restart = async () => {
    await hub.kill();
    await hub.start();
  };
  await expectAll(tabs, await burst(hub, "news", 100, { after: { 50: restart }, query: () => "?private=true" }));
});

test("a gap is told, and what is left is read", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ["--retention-count", "20"]);
  const context = await openContext(await openBrowser(t));
  const first = await hub.publish("news", "first");
  await burst(hub, "news", 100, { everyMs: 0 });
  for (const share of [false, true]) {
    const tab = await openSdkTab(context, hub.url, "/topics/news", { lastEventId: first, share });
    await until("the last event", async () => (await dataOf(tab)).at(-1) === "event 100");
    const lines = (await seen(tab)).filter(({ type }) => type !== "open");
    assert.deepEqual([lines[0].type, JSON.parse(lines[0].data).reason, JSON.parse(lines[0].data).asked], ["tidewire.gap", "expired", first], `share ${share}`);
    assert.equal(lines.filter(({ type }) => type === "tidewire.gap").length, 1);
    await tab.close();
  }
});

test("a hub that has lost its log is read from its new beginning, and the gap is told", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t);
  const context = await openContext(await openBrowser(t));
  const tabs = [];
  for (const share of [false, true]) tabs.push(await openSdkTab(context, hub.url, "/topics/news", { share, backoffMs: 100 }));
  await Promise.all(tabs.map(isOpen));
  const sent = await burst(hub, "news", 20, { name: "old" });
  await expectAll(tabs, sent);
  await hub.kill();
  rmSync(join(hub.folder, "data"), { recursive: true });
  await hub.start();
  sent.push(...(await burst(hub, "news", 20, { name: "new" })));
  await expectAll(tabs, sent);
  for (const tab of tabs) {
    const gaps = (await seen(tab)).filter(({ type }) => type === "tidewire.gap").map(({ data }) => JSON.parse(data).reason);
    assert.deepEqual(gaps, ["epoch"]);
  }
});

test("where it starts: now, after an id, at the earliest, where a reload left off", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ["--admin-listen", "127.0.0.1:0"]);
  const context = await openContext(await openBrowser(t));
  const old = await burst(hub, "news", 10, { name: "old", everyMs: 0 });
  const id = await hub.publish("news", "old 11");
  await hub.publish("news", "old 12");
  const table = [
    ["/topics/news", {}, []],
    [`/topics/news?last_event_id=${encodeURIComponent(id)}`, {}, ["old 12"]],
    ["/topics/news", { lastEventId: id }, ["old 12"]],
    ["/topics/news?since=earliest", {}, [...old, "old 11", "old 12"]],
    ["/.well-known/mercure?topic=news&since=last:2", {}, ["old 11", "old 12"]],
  ];
  for (const share of [false, true]) {
    const tabs = [];
    for (const [url, init] of table) tabs.push(await openSdkTab(context, hub.url, url, { ...init, share }));
    for (const tab of tabs) await isOpen(tab);
    // Those that share are one, whatever history each wanted.
    await until("the streams", async () => (await subscribers(hub)) === (share ? 1 : tabs.length));
    const sent = await burst(hub, "news", 20, { name: `share ${share}` });
    for (const [number, [, , want]] of table.entries()) {
      await expectAll([tabs[number]], [...want, ...sent]);
      await tabs[number].close();
    }
    for (const line of table.slice(1)) line[2] = [...line[2], ...sent];
    table.at(-1)[2] = sent.slice(-2);
  }
});

test("a page that is reloaded in a burst goes on where it was", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t);
  const context = await openContext(await openBrowser(t));
  const tabs = [];
  for (const share of [false, true]) tabs.push(await openSdkTab(context, hub.url, "/topics/news", { share, resume: true }));
  await Promise.all(tabs.map(isOpen));
  const reload = () => Promise.all(tabs.map((tab) => tab.reload()));
  const sent = await burst(hub, "news", 300, { after: { 60: reload, 140: reload, 220: reload } });
  await expectAll(tabs, sent);
});

test("topics come and go while it runs, and nothing is lost", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t);
  const context = await openContext(await openBrowser(t));
  const tabs = [];
  for (const share of [false, true]) tabs.push(await openSdkTab(context, hub.url, "/topics/a", { share }));
  // Another tab reads along, on other topics.
  const other = await openSdkTab(context, hub.url, "/.well-known/mercure?topic=b&topic=a");
  await Promise.all([...tabs, other].map(isOpen));
  const change = (method, ...topics) => () =>
    Promise.all(tabs.map((tab) => tab.evaluate(([method, topics]) => window.sources[0][method](...topics), [method, topics])));
  const sent = await burst(hub, "a", 300, {
    name: "a",
    after: { 50: change("addTopics", "b", "c"), 150: change("removeTopics", "b"), 250: change("addTopics", "d/{x}") },
  });
  await expectAll(tabs, sent);
  await expectAll([other], sent);
  assert.deepEqual(await tabs[1].evaluate(() => window.sources[0].topics), ["topic=a", "topic=c", "topic=d%2F%7Bx%7D"]);
  const more = [...(await burst(hub, "c", 3, { name: "c" })), ...(await burst(hub, "d/1", 3, { name: "d" }))];
  const unheard = await burst(hub, "b", 3, { name: "b" });
  const end = await burst(hub, "a", 1, { name: "end" });
  await expectAll(tabs, [...sent, ...more, ...end]);
  await expectAll([other], [...sent, ...unheard, ...end]);
});
