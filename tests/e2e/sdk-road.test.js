// The browser SDK on bad roads: each event once and in order, whatever the network does.

import assert from "node:assert/strict";
import { test } from "node:test";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Hub, NO_BINARY, pause, until } from "./hub.js";
import { Road } from "./road.js";
import { burst, expectAll, isOpen, openContext, openSdkTab, seen } from "./sdk.js";

const skip = NO_BINARY || NO_BROWSER;

test("a connection that falls silent without a reset is given up, and nothing is lost", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t, ["--heartbeat", "1s"]);
  const road = await Road.open(t, hub);
  const context = await openContext(await openBrowser(t));
  const init = { silenceMs: 3_000 };
  const tabs = [
    await openSdkTab(context, road.url, "/topics/news", init),
    await openSdkTab(context, road.url, "/topics/news", init),
    await openSdkTab(context, road.url, "/topics/news", { ...init, share: false }),
  ];
  await Promise.all(tabs.map(isOpen));
  const sent = await burst(hub, "news", 60, { everyMs: 50, after: { 20: () => road.silence() } });
  await expectAll(tabs, sent);
  const errors = (await seen(tabs[2])).filter(({ type }) => type === "error");
  assert.deepEqual(errors.map(({ status, state }) => [status, state]), [[0, 0]]);
});

test("5 % loss, 300 ms on the way and a cut every 10 s", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const road = await Road.open(t, hub);
  Object.assign(road, { delayMs: 300, loss: 0.05 });
  const context = await openContext(await openBrowser(t));
  const tabs = [];
  for (let number = 0; number < 3; number++) tabs.push(await openSdkTab(context, road.url, "/topics/news"));
  tabs.push(await openSdkTab(context, road.url, "/topics/news", { share: false }));
  await Promise.all(tabs.map(isOpen));
  const cutting = setInterval(() => road.cut(), 10_000);
  t.after(() => clearInterval(cutting));
  const sent = await burst(hub, "news", 1_000, { everyMs: 15 });
  await expectAll(tabs, sent);
});

test("where a proxy holds streams back, NDJSON or long polls bring the events", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t);
  const road = await Road.open(t, hub);
  const context = await openContext(await openBrowser(t));
  const accepts = () => road.requests.map((head) => /^Accept: (.*)$/im.exec(head)?.[1]).filter((type) => /event-stream|ndjson|json$/.test(type));
  const table = [
    [/^accept: text\/event-stream/im, { share: false }, ["text/event-stream", "application/x-ndjson"]],
    [/^accept: (text\/event-stream|application\/x-ndjson)/im, { share: false }, ["text/event-stream", "application/x-ndjson", "application/json"]],
    [/^accept: application\/x-ndjson/im, {}, ["application/x-ndjson", "application/json"]],
  ];
  for (const [held, init, asked] of table) {
    road.holds = (head) => held.test(head);
    road.requests.length = 0;
    const tab = await openSdkTab(context, road.url, "/topics/news", { ...init, openMs: 700 });
    await isOpen(tab);
    const sent = [];
    for (let number = 0; number < 10; number++) {
      // Each comes before anything else happens that could bring it along.
      sent.push(...(await burst(hub, "news", 1, { name: `${held} ${number}` })));
      await expectAll([tab], sent);
    }
    // A stream brings all of them.
    assert.deepEqual(accepts().filter((type, at, all) => type !== "application/json" || type !== all[at - 1]), asked);
    await tab.close();
  }
});

test("a refusal for now is not the end", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t);
  const context = await openContext(await openBrowser(t));
  const answers = [503, 502, 429, 500, 504];
  const times = [];
  await context.route("**/.well-known/mercure*", (route) => {
    times.push(Date.now());
    const status = answers.shift();
    return status ? route.fulfill({ status, headers: status === 429 ? { "Retry-After": "2" } : {}, body: "later" }) : route.continue();
  });
  const tab = await openSdkTab(context, hub.url, "/topics/news", { share: false, backoffMs: 100 });
  await isOpen(tab);
  await expectAll([tab], await burst(hub, "news", 5));
  assert.deepEqual((await seen(tab)).filter(({ type }) => type === "error").map(({ status }) => status), [503, 502, 429, 500, 504]);
  assert.ok(times[3] - times[2] >= 2_000, "Retry-After was not kept");
});

test("other refusals are the end, as for EventSource", { skip, timeout: 60_000 }, async (t) => {
  const hub = await Hub.start(t);
  const context = await openContext(await openBrowser(t));
  for (const [status, contentType] of [[204, ""], [404, "text/plain"], [401, "text/plain"], [200, "text/html"]]) {
    await context.unroute("**/.well-known/mercure*");
    await context.route("**/.well-known/mercure*", (route) => route.fulfill({ status, contentType, body: status === 204 ? "" : "no" }));
    for (const share of [false, true]) {
      const tab = await openSdkTab(context, hub.url, "/topics/news", { share });
      await until(`${status} to end it`, () => tab.evaluate(() => window.sources[0].readyState === 2));
      await pause(300);
      assert.deepEqual((await seen(tab)).map(({ type, status, state }) => [type, status, state]), [["error", status, 2]]);
      await tab.close();
    }
  }
});
