// The way between a page and the hub, with its faults: a TCP proxy that delays, loses, falls silent, cuts, or holds answers back.

import { connect, createServer } from "node:net";

/** How long TCP takes to notice a lost packet here and send it again, in milliseconds. */
const RESEND_MS = 300;

export class Road {
  static async open(t, hub) {
    const road = new Road(new URL(hub.url));
    road.server = createServer((near) => road.#join(near));
    await new Promise((listening) => road.server.listen(0, "127.0.0.1", listening));
    road.url = `http://127.0.0.1:${road.server.address().port}`;
    t.after(() => {
      road.cut();
      road.server.close();
    });
    return road;
  }

  constructor({ hostname, port }) {
    /** `holds(head)` says of a request whether its answer is held back until it ends, as a buffering proxy does. */
    Object.assign(this, { to: { host: hostname, port }, pairs: new Set(), delayMs: 0, loss: 0, holds: () => false, requests: [] });
  }

  /** From now on nothing passes on the connections there are, and nobody is told. New ones are fine. */
  silence() {
    for (const pair of this.pairs) pair.isSilent = true;
  }

  /** Resets the connections there are. */
  cut() {
    for (const { near, far } of this.pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  #join(near) {
    const far = connect(this.to);
    const pair = { near, far, isSilent: false, holds: false };
    this.pairs.add(pair);
    const end = () => {
      if (pair.isSilent) return;
      this.pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    near.on("data", (bytes) => {
      const head = bytes.toString("latin1");
      if (/^[A-Z]+ \//.test(head)) {
        this.requests.push(head);
        pair.holds = this.holds(head);
      }
    });
    this.#pass(pair, near, far, () => false);
    this.#pass(pair, far, near, () => pair.holds);
    for (const socket of [near, far]) socket.on("error", end);
    near.on("close", end);
  }

  /** In order, as TCP has it: what is lost comes later, and what comes after it waits for it. */
  #pass(pair, from, to, isHeld) {
    const waiting = [];
    const held = [];
    let timer;
    const go = () => {
      timer = undefined;
      while (waiting.length > 0 && waiting[0].dueMs <= Date.now()) waiting.shift().then();
      if (waiting.length > 0) timer = setTimeout(go, waiting[0].dueMs - Date.now());
    };
    const later = (then) => {
      const lostMs = Math.random() < this.loss ? RESEND_MS : 0;
      waiting.push({ dueMs: Math.max(waiting.at(-1)?.dueMs ?? 0, Date.now() + this.delayMs / 2 + lostMs), then });
      if (!timer) go();
    };
    const give = (bytes) => !pair.isSilent && !to.destroyed && to.write(bytes);
    from.on("data", (bytes) => {
      if (isHeld()) held.push(bytes);
      else later(() => give(bytes));
    });
    from.on("end", () => later(() => {
      for (const bytes of held.splice(0)) give(bytes);
      if (!pair.isSilent) to.end();
    }));
  }
}
