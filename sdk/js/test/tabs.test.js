// Many tabs, many faults: each tab sees each event of its topics once and in order. `SEED=7 npm test` is one world again, `WORLDS=500` are more.

import assert from "node:assert/strict";
import { test } from "node:test";

import { pause, World } from "./world.js";

const SEEDS = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: Number(process.env.WORLDS ?? 16) }, (_, number) => number + 1);
const TOPICS = ["topic=a", "topic=a&topic=b", "topic=*", "topic=b"];

const wants = (topics) => (event) => topics.includes("topic=*") || topics.includes(`topic=${event.topics[0]}`);

/** One fault; what it did goes to the log. */
async function harm(world, log) {
  const tab = world.tabs[world.between(0, world.tabs.length - 1)];
  const leader = world.leader() ?? tab;
  const faults = {
    killLeader: () => world.tabs.length > 3 && leader.kill(),
    cut: () => world.cut(),
    down: async () => {
      world.isDown = true;
      world.cut();
      await pause(world.between(10, 60));
      world.isDown = false;
    },
    freezeLeader: () => leader.freeze(world.between(5, 120)),
    freeze: () => tab.freeze(world.between(5, 120)),
    leaderStandsStill: () => leader.standStill(world.between(50, 400)),
    standStill: () => tab.standStill(world.between(50, 300)),
    more: async () => {
      const fresh = await world.openTab();
      fresh.topics = TOPICS[world.between(0, 3)];
      const from = world.events[world.between(0, world.events.length - 1)];
      if (world.random() < 0.5) fresh.from = from;
      fresh.begin(fresh.topics, fresh.from && { lastEventId: fresh.from.id });
    },
    topics: () => {
      if (tab.topics === "topic=b" || tab.isStill) return;
      tab.source[tab.has ? "removeTopics" : "addTopics"]("d");
      tab.has = !tab.has;
    },
  };
  const names = Object.keys(faults);
  const name = names[world.between(0, names.length - 1)];
  log.push(`${world.events.length}: ${name}`);
  await faults[name]();
}

async function waitFor(what, look) {
  for (let tries = 0; !look(); tries++) {
    assert.ok(tries < 2_000, `waited in vain for ${what}`);
    await pause(10);
  }
}

/** Tabs with these topics, the first of which leads. */
async function openTabs(t, ...topics) {
  const world = new World(1);
  t.after(() => world.end());
  const tabs = [];
  for (const of of topics) {
    const tab = await world.openTab();
    // Slow enough that nothing is late, and only what is tried here makes anything good.
    tab.begin(of, { beatMs: 500, silenceMs: 60_000, hiddenMs: 1_000 });
    await waitFor("an open tab", () => tab.source.readyState === 1);
    tabs.push(tab);
  }
  return { world, tabs };
}

// No word is missed for long, even if nothing else happens: the leader says from time to time how the stream stands.
const LOST = [
  ["the last event", "items", ({ world }) => world.publish("a")],
  ["the answer that a new topic is read", "open", ({ tabs }) => tabs[1].source.addTopics("b")],
  ["the wish for a new topic", "want", ({ tabs }) => tabs[1].source.addTopics("b")],
];
for (const [name, kind, act] of LOST) {
  test(`one word is lost: ${name}`, async (t) => {
    const { world, tabs } = await openTabs(t, "topic=a", "topic=a");
    let lost = 0;
    world.loses = (word) => word.kind === kind && lost++ === 0;
    act({ world, tabs });
    await waitFor("the loss", () => lost > 0);
    const wanted = () => world.events.filter(({ topics }) => tabs[1].source.topics.includes(`topic=${topics[0]}`)).map(({ data }) => data);
    if (kind !== "items") {
      await waitFor("the new topic at the hub", () => world.asked.at(-1).includes("b"));
      world.publish("b");
    }
    await waitFor("the event", () => tabs[1].seen.length === wanted().length);
    assert.deepEqual(tabs[1].seen, wanted());
  });
}

test("listeners change topics in the midst of a piece of the stream", async (t) => {
  const { world, tabs } = await openTabs(t, "topic=a", "topic=a&topic=b");
  const [leader, other] = tabs;
  // The leader answers the first at once, in the midst of its own reading; the other waits for an answer then.
  const once = (tab, then) => tab.source.addEventListener("message", then, { once: true });
  once(leader, () => leader.source.addTopics("d"));
  once(other, () => other.source.removeTopics("b"));
  world.publish("a", "a", "a");
  for (const tab of tabs) await waitFor("the events", () => tab.seen.length === 3);
  world.publish("a", "d");
  await waitFor("the last of the leader", () => leader.seen.length === 5);
  await waitFor("the last of the other", () => other.seen.length === 4);
  assert.deepEqual(leader.seen, world.events.map(({ data }) => data));
  assert.deepEqual(other.seen, leader.seen.slice(0, 4));
});

test("a tab that is killed is mourned: its topics are not read for long, and nobody hands over to it", async (t) => {
  const { world, tabs: [leader, dead, alive] } = await openTabs(t, "topic=a", "topic=a&topic=b", "topic=a");
  assert.deepEqual(world.asked.at(-1), ["a", "b"]);
  dead.kill();
  await waitFor("the topics of the living alone", () => world.asked.at(-1).join() === "a");
  assert.equal(world.leader(), leader);
  leader.self.document.visibilityState = "hidden";
  await waitFor("another leader", () => world.leader() !== leader);
  assert.equal(world.leader(), alive);
});

test("worlds", { concurrency: 4 }, (t) => Promise.all(SEEDS.map((seed) => {
  return t.test(`world ${seed}`, { timeout: 60_000 }, async (t) => {
    const world = new World(seed);
    t.after(() => world.end());
    world.loss = [0, 0.05, 0.3][seed % 3];
    const log = [];
    for (const topics of TOPICS) {
      const tab = await world.openTab();
      Object.assign(tab, { topics, isFirst: true });
      tab.begin(topics);
    }
    for (let tries = 0; !world.tabs.every(({ source }) => source.readyState === 1); tries++) {
      assert.ok(tries < 500, "the tabs do not open");
      await pause(5);
    }
    const harms = [];
    for (let number = 0; number < 200; number++) {
      world.publish(...Array.from({ length: world.between(1, 3) }, () => "abc"[world.between(0, 2)]));
      if (number % 10 === 9 && number < 170) harms.push(harm(world, log));
      await pause(world.between(0, 6));
    }
    await Promise.all(harms);
    const wanted = (tab) => world.events.filter(wants(tab.topics)).map(({ data }) => data);
    const after = (tab, all) => (tab.from ? all.slice(world.events.slice(0, world.events.indexOf(tab.from) + 1).filter(wants(tab.topics)).length) : all);
    // One for everybody, so that each has something to wait for.
    for (const topic of ["a", "b"]) world.publish(topic);
    const isDone = () => world.tabs.every((tab) => tab.seen.at(-1) === wanted(tab).at(-1));
    for (let tries = 0; tries < 1_000 && !isDone(); tries++) await pause(10);
    await pause(50);
    for (const tab of world.tabs) {
      const all = wanted(tab);
      const what = `tab ${tab.number} (${tab.topics}${tab.from ? ` from ${tab.from.id}` : ""}); ${log.join(", ")}`;
      assert.ok(tab.opened !== undefined, `never opened: ${what}`);
      const since = world.events.slice(tab.opened).filter(wants(tab.topics)).length;
      assert.ok(tab.seen.length >= since, `${since} events since it opened, ${tab.seen.length} seen: ${what}`);
      // Who came later without an id began somewhere before it opened, and missed nothing from there.
      const want = tab.isFirst || tab.from ? after(tab, all) : all.slice(all.length - tab.seen.length);
      assert.deepEqual(tab.seen, want, what);
    }
  });
})));
