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

test("worlds", { concurrency: 4 }, (t) => Promise.all(SEEDS.map((seed) => {
  return t.test(`world ${seed}`, { timeout: 60_000 }, async (t) => {
    const world = new World(seed);
    t.after(() => world.end());
    world.loss = seed % 3 === 0 ? 0.05 : 0;
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
      world.publish("abc"[world.between(0, 2)]);
      if (number % 10 === 9 && number < 170) harms.push(harm(world, log));
      await pause(world.between(0, 6));
    }
    await Promise.all(harms);
    const wanted = (tab) => world.events.filter(wants(tab.topics)).map(({ data }) => data);
    const after = (tab, all) => (tab.from ? all.slice(world.events.slice(0, world.events.indexOf(tab.from) + 1).filter(wants(tab.topics)).length) : all);
    const isDone = () => world.tabs.every((tab) => tab.seen.at(-1) === wanted(tab).at(-1));
    for (let tries = 0; tries < 400 && !isDone(); tries++) await pause(10);
    await pause(50);
    for (const tab of world.tabs) {
      const all = wanted(tab);
      // Who came later without an id began somewhere, and missed nothing from there.
      const want = tab.isFirst || tab.from ? after(tab, all) : tab.seen.length > 0 ? all.slice(all.indexOf(tab.seen[0])) : [];
      assert.deepEqual(tab.seen, want, `tab ${tab.number} (${tab.topics}${tab.from ? ` from ${tab.from.id}` : ""}); ${log.join(", ")}`);
    }
  });
})));
