// The way between one client and the hub: counts connections, cuts them, refuses them, lets them wait, or answers as a proxy does.

import { get } from "node:http";
import { connect, createServer } from "node:net";

import { until } from "../e2e/hub.js";

/** Readable by pages of other origins: the same as for a page that the proxy serves itself. */
const answer = (status, type, body) => `HTTP/1.1 ${status}\r\nContent-Type: ${type}\r\nAccess-Control-Allow-Origin: *\r\n\
Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;

/** What a proxy says while the hub is away, by itself and as docs/clients.md has it say. */
const PROXY_SAYS = {
  "bad gateway": answer("502 Bad Gateway", "text/html", ""),
  "wait": answer("200 OK", "text/event-stream", "retry: 100\n\n"),
};

/** The hub's own refusal: a 429, or a `retry` that an answer begins with, whether it comes with its head or after it. */
const isRefusal = (bytes) => ["HTTP/1.1 429 ", "\r\n\r\nretry: "].some((start) => bytes.includes(start)) || bytes.indexOf("retry: ") === 0;

/** Roads there were: each comes from an address of its own, so that limits by address are a client's own. */
let roads = 0;

export class Road {
  static async open(t, hub) {
    const road = new Road(new URL(hub.url));
    await road.allow();
    t.after(() => road.refuse());
    return road;
  }

  constructor({ hostname, port, protocol }) {
    // `joins`: connections so far. `comments` and `refusals` of the hub's that went by, where they can be read. `mood`: what a new
    // connection gets. `tear`: text; when the hub sends it, what comes before it passes and the connection is cut there.
    const localAddress = `127.0.1.${roads += 1}`;
    Object.assign(this, { to: { host: hostname, port, localAddress }, protocol, port: 0, pairs: new Set(), held: [], mood: "pass" });
    Object.assign(this, { joins: 0, comments: 0, refusals: 0 });
  }

  get url() {
    return `${this.protocol}//127.0.0.1:${this.port}`;
  }

  /** Nobody listens any more, and the connections there are end. */
  async refuse() {
    const closed = new Promise((done) => this.server.close(done));
    this.cut();
    for (const near of this.held.splice(0)) near.destroy();
    await closed;
  }

  async allow() {
    this.server = createServer((near) => this.#join(near));
    await new Promise((listening) => this.server.listen(this.port, "127.0.0.1", listening));
    this.port = this.server.address().port;
  }

  /** Cuts the connections in the middle of their answers, as a crash does. */
  cut() {
    for (const { near, far } of this.pairs) {
      near.destroy();
      far.destroy();
    }
  }

  /** Ends the answers (chunked, HTTP/1.1) as the hub does when a stream has lived long enough: after a comment. */
  finish() {
    for (const { near, far } of this.pairs) {
      far.destroy();
      near.end("7\r\n: over\n\r\n0\r\n\r\n");
    }
  }

  /** Lets those go on that had to wait. */
  release() {
    this.mood = "pass";
    for (const near of this.held.splice(0)) this.#pass(near);
  }

  /** Takes so many streams at the hub for itself. Whoever calls what it returns gives them back. */
  async occupy(count) {
    const requests = [];
    const take = () => new Promise((resolve) => {
      const request = get({ ...this.to, path: "/topics/occupied", agent: false }, (response) => {
        response.resume().on("error", () => {});
        if (response.statusCode === 200) requests.push(request);
        resolve(response.statusCode === 200);
      });
      request.on("error", () => resolve(false));
    });
    for (let at = 0; at < count; at += 1) await until("a stream of our own", take);
    return () => {
      for (const request of requests) request.destroy();
    };
  }

  /** How long after `end` the client came back, in milliseconds; `undefined` if it did not. */
  async gapMs(end, patienceMs, run) {
    const before = this.joins;
    const begun = performance.now();
    end();
    const isBack = await until("the next connection", () => this.joins > before || run.isOver, patienceMs).catch(() => false);
    return isBack && this.joins > before ? this.lastJoin - begun : undefined;
  }

  #join(near) {
    this.joins += 1;
    this.lastJoin = performance.now();
    near.on("error", () => {});
    if (this.mood === "hold") this.held.push(near);
    else if (this.mood in PROXY_SAYS) this.#say(near, PROXY_SAYS[this.mood]);
    else this.#pass(near);
  }

  #say(near, text) {
    near.once("data", () => near.end(text));
  }

  #pass(near) {
    const far = connect(this.to);
    const pair = { near, far };
    this.pairs.add(pair);
    near.on("data", (bytes) => far.write(bytes));
    far.on("data", (bytes) => {
      const at = this.tear ? bytes.indexOf(this.tear) : -1;
      if (at >= 0) {
        this.tear = undefined;
        near.end(bytes.subarray(0, at));
        far.destroy();
        return;
      }
      if (bytes.includes(":\n")) this.comments += 1;
      if (isRefusal(bytes)) this.refusals += 1;
      if (near.writable) near.write(bytes);
    });
    far.on("error", () => {}).on("close", () => near.end());
    near.on("close", () => {
      this.pairs.delete(pair);
      far.destroy();
    });
  }
}
