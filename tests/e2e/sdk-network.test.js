// The browser SDK in a network of its own, where packets are lost and connections die without a word.

import assert from "node:assert/strict";
import { test } from "node:test";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Hub, NO_BINARY, pause } from "./hub.js";
import { Link, NO_LINK } from "./link.js";
import { burst, expectAll, isOpen, openContext, openSdkTab, seen } from "./sdk.js";

const skip = NO_BINARY || NO_BROWSER || NO_LINK;

/** A hub here, and a browser that has nothing but the link to it. A name below localhost is a secure context: tabs may share. */
async function start(t) {
  const link = await Link.open(t);
  const hub = await Hub.start(t, ["--anonymous", "all", "--heartbeat", "1s"], `${link.here}:0`);
  const browser = await openBrowser(t, { namespace: link.namespace, hosts: { "hub.localhost": link.here } });
  const origin = `http://hub.localhost:${new URL(hub.url).port}`;
  return { link, hub, origin, context: await openContext(browser) };
}

async function openTabs({ context, origin }, init) {
  const tabs = [];
  for (const share of [true, true, false]) tabs.push(await openSdkTab(context, origin, "/topics/news", { ...init, share }));
  await Promise.all(tabs.map(isOpen));
  return tabs;
}

const losses = async (tab) => (await seen(tab)).filter(({ type }) => type === "error").map(({ status, state }) => [status, state]);

test("the network is cut without a reset, and comes back", { skip, timeout: 90_000 }, async (t) => {
  const world = await start(t);
  const { link, hub } = world;
  const tabs = await openTabs(world, { silenceMs: 3_000 });
  const cut = async () => {
    await link.tell("cut");
    await pause(6_000);
    await link.tell("heal");
  };
  const sent = await burst(hub, "news", 200, { everyMs: 40, after: { 40: cut } });
  await expectAll(tabs, sent, 40_000);
  for (const tab of tabs) assert.deepEqual((await losses(tab))[0], [0, 0], "silence was noticed");
});

test("connections are forgotten on the way without a reset, while others pass", { skip, timeout: 90_000 }, async (t) => {
  const world = await start(t);
  const { link, hub } = world;
  const tabs = await openTabs(world, { silenceMs: 3_000 });
  const sent = await burst(hub, "news", 200, { everyMs: 40, after: { 40: () => link.tell("forget"), 160: () => link.tell("forget") } });
  await expectAll(tabs, sent, 40_000);
  for (const tab of tabs) assert.ok((await losses(tab)).length > 0, "silence was noticed");
});

test("5 % of packets lost, 300 ms on the way, and every connection dead every 10 s", { skip, timeout: 150_000 }, async (t) => {
  const world = await start(t);
  const { link, hub } = world;
  await link.tell("delay 150");
  await link.tell("loss 0.05");
  const tabs = await openTabs(world, { silenceMs: 4_000 });
  const forgetting = setInterval(() => link.tell("forget"), 10_000);
  t.after(() => clearInterval(forgetting));
  const sent = await burst(hub, "news", 1_000, { everyMs: 30 });
  clearInterval(forgetting);
  await expectAll(tabs, sent, 60_000);
  t.diagnostic(await link.tell("heal"));
});
