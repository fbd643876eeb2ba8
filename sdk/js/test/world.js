// A small world for tests of sharing: tabs that are killed, stand still, freeze and lose words; a hub that is cut and goes down.
// All chance comes from one seed. Only time is real, so that a seed is a hint and no proof.

import { build } from "esbuild";

const SOURCES = new URL("../src/", import.meta.url).pathname;

/** The SDK as one text, with the world's crew in the place of the browser's. */
async function bundle() {
  const crew = {
    name: "crew",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^\.\/crew$/ }, () => ({ path: "crew", namespace: "world" }));
      onLoad({ filter: /.*/, namespace: "world" }, () => ({ contents: "export const canShare = () => true; export const newCrew = (name, on) => tab.newCrew(name, on);" }));
    },
  };
  const { outputFiles } = await build({
    entryPoints: [`${SOURCES}source.ts`], bundle: true, write: false, format: "esm", plugins: [crew],
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  });
  return outputFiles[0].text;
}

const text = await bundle();
const tabs = (globalThis.tidewireTabs = []);

/** Numbers from 0 to 1 (mulberry32). */
function chance(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

export class World {
  tabs = [];
  events = [];
  streams = new Set();
  /** The topics of each request. */
  asked = [];
  isDown = false;
  /** The share of the words between tabs that are lost. */
  loss = 0;
  /** Whether this word is lost on its way to this tab. */
  loses = () => false;
  #locks = new Map();
  #lanes = new Map();

  constructor(seed) {
    this.random = chance(seed);
  }

  between(low, high) {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  /** In a while; in order within a lane. */
  later(lane, maxMs, then) {
    const dueMs = Math.max(this.#lanes.get(lane) ?? 0, Date.now() + this.random() * maxMs);
    this.#lanes.set(lane, dueMs);
    const wait = this.#waiting.get(lane) ?? [];
    if (wait.push(then) === 1) this.#waiting.set(lane, wait);
    setTimeout(() => wait.shift()(), dueMs - Date.now());
  }
  #waiting = new Map();

  async openTab() {
    const tab = new Tab(this, tabs.length);
    tabs.push(tab);
    const module = `const tab = globalThis.tidewireTabs[${tab.number}]; const { fetch, self, setTimeout, setInterval, clearTimeout, clearInterval } = tab;\n${text}`;
    const { TidewireSource } = await import(`data:text/javascript;base64,${Buffer.from(module).toString("base64")}`);
    this.tabs.push(tab);
    tab.TidewireSource = TidewireSource;
    return tab;
  }

  end() {
    for (const tab of [...this.tabs]) tab.kill();
  }

  // The hub.

  /** Publishes to each of these topics; a stream brings them in one piece. */
  publish(...topics) {
    for (const topic of topics) this.#append(topic);
    for (const stream of this.streams) stream.go();
  }

  #append(topic) {
    const position = this.events.length + 1;
    // Some publishers have ids of their own.
    const id = this.random() < 0.3 ? `own ${position}` : `#1-${position}`;
    this.events.push({ type: "message", data: `${topic} ${position}`, id, position, topics: [topic] });
  }

  position(id) {
    const at = this.events.findIndex((event) => event.id === id);
    return at >= 0 ? at + 1 : Number(/-(\d+)$/.exec(id)[1]);
  }

  cut() {
    for (const stream of [...this.streams]) stream.end();
  }

  async answer(tab, url, { headers, signal }) {
    await pause(this.between(0, 6));
    if (this.isDown || signal.aborted) throw new TypeError("network");
    const topics = new URL(url).searchParams.getAll("topic");
    this.asked.push(topics);
    const wants = ({ topics: of }) => topics.includes("*") || topics.includes(of[0]);
    const id = headers["Last-Event-ID"];
    let next = id ? this.position(id) : this.events.length;
    if (headers.Accept === "application/json") {
      const events = [];
      while (next < this.events.length && events.length < 5) {
        const event = this.events[next++];
        if (wants(event)) events.push(event);
      }
      const body = `${JSON.stringify({ events, next: `#1-${next}` })}\n`;
      await pause(this.between(0, 6));
      return new Response(body, { headers: { "Content-Type": "application/json" } });
    }
    const lane = {};
    const bytes = new TextEncoder();
    let end;
    const body = new ReadableStream({
      start: (controller) => {
        let isOver = false;
        const say = (...lines) => this.later(lane, 8, () => tab.run(() => isOver || controller.enqueue(bytes.encode(lines.map((line) => `${JSON.stringify(line)}\n`).join("")))));
        const stream = {
          go: () => {
            const fresh = this.events.slice(next).filter(wants);
            next = this.events.length;
            if (fresh.length > 0) say(...fresh);
          },
          end: () => {
            if (isOver) return;
            isOver = true;
            this.streams.delete(stream);
            tab.run(() => controller.error(new TypeError("network")));
          },
        };
        end = stream.end;
        say({ type: "tidewire.open", data: {}, id: `#1-${next}` });
        stream.go();
        this.streams.add(stream);
        tab.streams.add(stream);
      },
      cancel: () => end(),
    });
    signal.addEventListener("abort", end);
    return new Response(body, { headers: { "Content-Type": "application/x-ndjson" } });
  }

  // Locks and words, as the browser has them.

  lock(name, tab, steals, granted, lost) {
    const lock = this.#locks.get(name) ?? { queue: [] };
    this.#locks.set(name, lock);
    const request = { tab, granted, lost };
    if (!steals) lock.queue.push(request);
    else {
      const robbed = lock.holder;
      lock.holder = request;
      if (robbed) this.later(robbed.tab, 8, () => robbed.tab.run(robbed.lost));
      this.later(tab, 3, () => tab.run(granted));
    }
    this.#grant(lock);
  }

  #grant(lock) {
    if (lock.holder || lock.queue.length === 0) return;
    const request = (lock.holder = lock.queue.shift());
    this.later(request.tab, 4, () => request.tab.run(request.granted));
  }

  release(ofTab, name) {
    for (const [lockName, lock] of this.#locks) {
      if (name !== undefined && name !== lockName) continue;
      lock.queue = lock.queue.filter(({ tab }) => tab !== ofTab);
      if (lock.holder?.tab !== ofTab) continue;
      lock.holder = undefined;
      this.#grant(lock);
    }
  }

  leader() {
    return [...this.#locks].find(([name]) => name.startsWith("tidewire"))?.[1].holder?.tab;
  }

  say(from, word) {
    for (const tab of this.tabs) {
      if (tab === from || this.random() < this.loss || this.loses(word, tab)) continue;
      const crew = tab.crew;
      if (crew) this.later(`${from.number} ${tab.number}`, 8, () => tab.run(() => tab.crew === crew && crew.on._word(structuredClone(word))));
    }
  }
}

/** What a tab's script sees of its browser. */
class Tab {
  isDead = false;
  isStill = false;
  streams = new Set();
  seen = [];
  #waiting = [];

  constructor(world, number) {
    Object.assign(this, { world, number, self: new EventTarget() });
    this.self.document = Object.assign(new EventTarget(), { baseURI: "http://h.x/", visibilityState: "visible" });
    this.fetch = (url, init) => world.answer(this, url, init);
    // What is cleared does not run, also if it was due while the tab stood still.
    const cleared = new Set();
    const unlessCleared = (timer, then) => () => cleared.has(timer) || then();
    this.setTimeout = (then, ms) => {
      const timer = setTimeout(() => this.run(unlessCleared(timer, then)), ms);
      return timer;
    };
    this.setInterval = (then, ms) => {
      const timer = setInterval(() => (this.isDead ? clearInterval(timer) : this.run(unlessCleared(timer, then))), ms);
      return timer;
    };
    this.clearTimeout = this.clearInterval = (timer) => {
      cleared.add(timer);
      clearTimeout(timer);
    };
  }

  begin(url, init) {
    this.source = new this.TidewireSource(`http://h.x/.well-known/mercure?${url}`, { beatMs: 40, backoffMs: 5, backoffMaxMs: 20, openMs: 300, silenceMs: 1_000, ...init });
    this.source.onmessage = ({ data }) => this.seen.push(data);
    // What is published from now on is to be seen.
    this.source.onopen = () => { this.opened ??= this.world.events.length; };
  }

  /** Runs something of the tab's, later if it stands still, never if it is dead. */
  run(then) {
    if (this.isDead) return;
    if (this.isStill) this.#waiting.push(then);
    else then();
  }

  kill() {
    this.isDead = true;
    this.world.tabs = this.world.tabs.filter((tab) => tab !== this);
    for (const stream of this.streams) stream.end();
    if (this.crew) this.crew._leave();
  }

  async standStill(ms) {
    if (this.isStill) return;
    this.isStill = true;
    await pause(ms);
    this.isStill = false;
    for (const then of this.#waiting.splice(0)) this.run(then);
  }

  async freeze(ms) {
    if (this.isStill) return;
    this.self.document.dispatchEvent(new Event("freeze"));
    await this.standStill(ms);
    this.self.document.dispatchEvent(new Event("resume"));
  }

  newCrew(name, on) {
    const { world } = this;
    const own = `${this.number}.${Math.floor(world.random() * 1e9)}`;
    const isHere = () => this.crew === crew;
    const crew = {
      on,
      _tab: own,
      _isReady: false,
      _say: (word) => world.say(this, structuredClone(word)),
      _claim: (steals) => {
        const lost = () => {
          if (!isHere()) return;
          on._demoted();
          if (!steals) crew._claim(false);
        };
        world.lock(name, this, steals, () => isHere() && on._lead(), lost);
      },
      _mourn: (tab, then) => world.lock(`tab ${tab}`, this, false, () => { if (isHere()) then(); world.release(this, `tab ${tab}`); }, () => {}),
      _leave: () => {
        this.crew = undefined;
        world.release(this);
      },
    };
    this.crew = crew;
    world.lock(`tab ${own}`, this, false, () => {
      crew._isReady = true;
      if (isHere()) on._ready();
    }, () => {});
    crew._claim(false);
    return crew;
  }
}
