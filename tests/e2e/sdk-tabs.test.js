// All tabs of a browser on one connection: each event once, in order, in every tab, whatever happens to the tab that leads.

import assert from "node:assert/strict";
import { test } from "node:test";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Hub, NO_BINARY, until } from "./hub.js";
import { burst, expectAll, isOpen, openContext, openSdkTab, seen, subscribers } from "./sdk.js";

const skip = NO_BINARY || NO_BROWSER;
const ADMIN = ["--admin-listen", "127.0.0.1:0"];

async function openTabs(context, hub, count, url = "/topics/news", init = {}) {
  const tabs = [];
  // The first leads, so that tests know whom to harm.
  for (let number = 0; number < count; number++) tabs.push(await openSdkTab(context, hub.url, url, init));
  await Promise.all(tabs.map(isOpen));
  return tabs;
}

const untilOne = (hub) => until("one stream at the hub", async () => (await subscribers(hub)) === 1);

test("twenty tabs are one stream at the hub", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ADMIN);
  const context = await openContext(await openBrowser(t));
  const tabs = await openTabs(context, hub, 20);
  await untilOne(hub);
  const sent = await burst(hub, "news", 100);
  assert.equal(await subscribers(hub), 1);
  await expectAll(tabs, sent);

  // Closed, crashed and left, one leader after the other, while events come.
  const harm = {
    20: () => tabs.shift().close(),
    60: async () => {
      const cdp = await context.newCDPSession(tabs[0]);
      cdp.send("Page.crash").catch(() => {});
      tabs.shift();
    },
    100: () => tabs.shift().goto("about:blank"),
    140: () => tabs[0].reload(),
    160: async () => {
      await hub.kill();
      await hub.start();
    },
  };
  // Some publishers have ids of their own, and not always new ones.
  const query = (number) => ["", "", `?id=own-${number}`, "?id=same"][number % 4];
  sent.push(...(await burst(hub, "news", 200, { name: "harmed", everyMs: 10, after: harm, query })));
  const reloaded = tabs.shift();
  await expectAll(tabs, sent);
  await isOpen(reloaded);
  await until("the hub to forget those who left", async () => (await subscribers(hub)) === 1);
  assert.deepEqual(tabs.flatMap((tab) => tab.faults), []);
});

const cdpOf = (tab) => tab.context().newCDPSession(tab);
const freeze = async (tab, state) => (await cdpOf(tab)).send("Page.setWebLifecycleState", { state });
/** What a tab sees that another covers. Chromium without a window shows all its tabs. */
const hide = (tab, isHidden) => tab.evaluate((isHidden) => {
  Object.defineProperty(document, "visibilityState", { get: () => (isHidden ? "hidden" : "visible"), configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}, isHidden);
/** Whether this tab has the stream: its requests, of those that do not end. */
const watchRequests = (tab) => {
  const requests = [];
  tab.on("request", (request) => /mercure/.test(request.url()) && requests.push(request.url()));
  return requests;
};

test("a leader that freezes hands over, and reads what it missed when it wakes", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ADMIN);
  const context = await openContext(await openBrowser(t));
  const tabs = await openTabs(context, hub, 3);
  const sent = await burst(hub, "news", 150, { after: { 30: () => freeze(tabs[0], "frozen"), 60: () => freeze(tabs[1], "frozen"), 120: () => freeze(tabs[0], "active") } });
  await expectAll([tabs[2], tabs[0]], sent);
  await untilOne(hub);
  await freeze(tabs[1], "active");
  await expectAll(tabs, sent);
});

test("a leader that stands still without a word is deposed, and follows when it moves again", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ADMIN);
  const context = await openContext(await openBrowser(t));
  const tabs = await openTabs(context, hub, 3, "/topics/news", { beatMs: 300 });
  const requests = tabs.slice(1).map(watchRequests);
  // Its one thread waits for an answer: it neither reads nor answers, nor does it know.
  let hold;
  const held = new Promise((resolve) => { hold = resolve; });
  await context.route("**/hold", hold);
  const busy = tabs[0].evaluate(() => {
    const request = new XMLHttpRequest();
    request.open("GET", "/hold", false);
    request.send();
  });
  const route = await held;
  const sent = await burst(hub, "news", 100, { everyMs: 30 });
  await expectAll(tabs.slice(1), sent);
  assert.equal(requests.flat().length, 1, "one of the others takes over");
  await route.fulfill({ body: "go on" });
  await busy;
  await expectAll(tabs, sent);
  await untilOne(hub);
});

test("a leader that is hidden hands over to a tab that is seen", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ADMIN);
  const context = await openContext(await openBrowser(t));
  const tabs = await openTabs(context, hub, 3, "/topics/news", { beatMs: 200, hiddenMs: 1_000 });
  const requests = tabs.map(watchRequests);
  await Promise.all([hide(tabs[0], true), hide(tabs[1], true)]);
  const sent = await burst(hub, "news", 150, { everyMs: 20 });
  assert.deepEqual(requests.map(({ length }) => length), [0, 0, 1], "the one that is seen reads");
  await expectAll(tabs, sent);
  await untilOne(hub);
});

test("a page that comes back from the back/forward cache reads what it missed", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ADMIN);
  const context = await openContext(await openBrowser(t, { without: ["--disable-back-forward-cache"] }));
  const tabs = await openTabs(context, hub, 2);
  const alone = await openSdkTab(context, hub.url, "/topics/news", { share: false });
  await isOpen(alone);
  const gone = [tabs[0], alone];
  await Promise.all(gone.map((tab) => tab.evaluate(() => addEventListener("pageshow", ({ persisted }) => { window.cameBack = persisted; }))));
  const away = () => Promise.all(gone.map((tab) => tab.goto(`${hub.url}/healthz`)));
  const back = () => Promise.all(gone.map((tab) => tab.goBack({ waitUntil: "commit" })));
  const sent = await burst(hub, "news", 120, { after: { 40: away, 80: back } });
  await expectAll([tabs[1]], sent);
  for (const tab of gone) assert.equal(await tab.evaluate(() => window.cameBack), true, "the browser has not kept the page");
  await expectAll(gone, sent);
});

test("tabs with other topics get theirs alone, and patterns are kept apart", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ADMIN);
  const context = await openContext(await openBrowser(t));
  const table = [
    ["/.well-known/mercure?topic=a&topic=b", ["a", "b"]],
    ["/.well-known/mercure?topic=b", ["b"]],
    ["/topics/c", ["c"]],
    ["/topics/*", ["a", "b", "c", "d/1"]],
    ["/.well-known/mercure?topic=d/{id}", ["d/1"]],
    ["/.well-known/mercure?match=a&match=c", ["a", "c"]],
  ];
  const tabs = [];
  for (const [url] of table) tabs.push(await openSdkTab(context, hub.url, url));
  await Promise.all(tabs.map(isOpen));
  for (const topic of ["a", "b", "c", "d/1"]) await hub.publish(topic, topic);
  for (const [number, [, want]] of table.entries()) await expectAll([tabs[number]], want);
  // `topic=` by name; the pattern; `match=`.
  assert.equal(await subscribers(hub), 3);
  // What one asks wrongly does not end the others: each asks for itself then, and over HTTP/1.1 six may.
  for (const number of [2, 4]) await tabs[number].close();
  const wrong = await openSdkTab(context, hub.url, "/.well-known/mercure?topic=a%0A");
  await until("its end", () => wrong.evaluate(() => window.sources[0].readyState === 2));
  const sent = await burst(hub, "a", 10);
  await expectAll([tabs[0]], ["a", "b", ...sent]);
  await expectAll([tabs[5]], ["a", "c", ...sent]);
});
