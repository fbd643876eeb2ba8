// Pauses, and what NDJSON and pages become.

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.js";

const { pauseMs, retryAfterMs } = await load("backoff");
const { lineReader } = await load("ndjson");
const { streamReader } = await load("parser");
const { isAfter } = await load("item");
const { Link, EVENT_STREAM, NDJSON, PAGE } = await load("link");
const { parseAddress } = await load("address");
const { settle } = await load("settings");

const waitFor = async (what, look) => {
  for (let tries = 0; !look(); tries++) {
    assert.ok(tries < 2_000, `waited in vain for ${what}`);
    await new Promise((wake) => setTimeout(wake, 5));
  }
};

/** Answers that a fetch gets in turn; what it asked for is in `asked`. The last answer holds for all that come later. */
function answer(t, ...answers) {
  const asked = [];
  t.mock.method(globalThis, "fetch", async (url, { headers }) => {
    asked.push(headers);
    const next = answers.length > 1 ? answers.shift() : answers[0];
    if (next instanceof Error) throw next;
    const { body = "", type = "application/x-ndjson", ...init } = next;
    const text = typeof body === "string" ? body : body.map((line) => `${JSON.stringify(line)}\n`).join("");
    // Streams stay open.
    const stream = new ReadableStream({ start: (controller) => { if (text) controller.enqueue(new TextEncoder().encode(text)); if (type === PAGE) controller.close(); } });
    return new Response(init.status >= 300 ? null : stream, { ...init, headers: { "Content-Type": type, ...init.headers } });
  });
  return asked;
}

function startLink(t, init, { forms = [NDJSON], lastId, url = "https://h.x/topics/news" } = {}) {
  const heard = [];
  const note = (name) => (...args) => heard.push([name, ...args]);
  const address = parseAddress(url);
  const link = new Link(address, settle({ backoffMs: 5, ...init }, address._hub), forms, true, {
    _opened: note("opened"), _lost: note("lost"), _failed: note("failed"),
    _items: (items) => items.forEach((item) => note("item")(item.id, item.at)),
  });
  t.after(() => link._stop());
  link._start(address._topics, lastId);
  return { heard, link };
}

const OPEN = { type: "tidewire.open", data: {}, id: "#7-4" };

test("a token that cannot be had for now is asked for again; one that can never be had is the end", async (t) => {
  const outage = () => { throw new TypeError("Failed to fetch"); };
  const table = [
    ["thrown", (calls) => (calls < 8 ? outage() : "good"), "opened"],
    ["rejected", async (calls) => (calls < 8 ? outage() : "good"), "opened"],
    ["rejected with nothing", (calls) => (calls < 8 ? Promise.reject() : "good"), "opened"],
    ["final at once", () => { throw Object.assign(new Error("signed out"), { final: true }); }, "failed"],
    ["final later", async (calls) => (calls < 3 ? outage() : Promise.reject({ final: true })), "failed"],
  ];
  for (const [name, give, end] of table) {
    const asked = answer(t, { body: [OPEN] });
    const whys = [];
    const { heard } = startLink(t, { backoffMaxMs: 5, token: (why) => give(whys.push(why)) });
    await waitFor(`${name}: ${end}`, () => heard.at(-1)?.[0] === end || heard.some(([what]) => what === end));
    const lost = heard.filter(([what]) => what === "lost");
    const failures = { thrown: 7, rejected: 7, "rejected with nothing": 7, "final at once": 0, "final later": 2 }[name];
    assert.deepEqual(lost, Array(failures).fill(["lost", 0]), name);
    assert.deepEqual(whys, Array(whys.length).fill("open"), name);
    assert.deepEqual(asked.map(({ Authorization }) => Authorization), end === "opened" ? ["Bearer good"] : [], name);
    if (end === "failed") assert.deepEqual(heard.at(-1), ["failed", 0], name);
    t.mock.restoreAll();
  }
});

test("a token that the server refuses is asked for three times more, whatever outages lie between", async (t) => {
  answer(t, { status: 401 });
  const whys = [];
  const { heard } = startLink(t, { backoffMaxMs: 5, token: (why) => { if (whys.push(why) === 3) throw new Error("outage"); return "bad"; } });
  await waitFor("the end", () => heard.at(-1)?.[0] === "failed");
  assert.deepEqual(heard.at(-1), ["failed", 401]);
  assert.deepEqual(whys, ["open", "refused", "refused", "refused", "refused"]);
});

test("after what a stream goes on: places, also of events with ids of their own", async (t) => {
  const own = (id, position) => ({ type: "message", data: "x", id, position, topics: ["news"] });
  const table = [
    // what comes; the places it has
    [[OPEN, { ...own("#7-5") }, own("mine", 6), own("mine", 8)], ["#7-4", "#7-5", "#7-6", "#7-8"]],
    // A new life: a gap, and the checkpoint that tells it.
    [[OPEN, { type: "tidewire.gap", data: {} }, { type: "tidewire.at", data: null, id: "#8-1" }, own("mine", 2)], ["#7-4", undefined, "#8-1", "#8-2"]],
    // A hub that does not tell places; a life that is not known.
    [[OPEN, own("mine")], ["#7-4", "mine"]],
    [[own("mine", 6)], ["mine"]],
  ];
  for (const [lines, want] of table) {
    const asked = answer(t, { body: lines });
    const { heard, link } = startLink(t, {});
    const places = () => heard.filter(([what]) => what === "item").map(([, , at]) => at);
    await waitFor("the items", () => places().length === want.length);
    assert.deepEqual(places(), want);
    link._revive();
    await waitFor("the next request", () => asked.length === 2);
    assert.equal(asked[1]["Last-Event-ID"], want.at(-1));
    link._stop();
    t.mock.restoreAll();
  }
  // A page begins where its reader stands, and ends with a cursor of its own.
  const asked = answer(t, { type: PAGE, body: [{ events: [own("mine", 5), own("#7-6")], next: "#8-9" }] });
  const { heard } = startLink(t, {}, { forms: [PAGE], lastId: "#7-4" });
  await waitFor("another page", () => asked.length > 1);
  assert.deepEqual(heard.slice(0, 4), [["opened", "#7-4", true], ["item", "mine", "#7-5"], ["item", "#7-6", "#7-6"], ["item", "#8-9", "#8-9"]]);
  assert.equal(asked[1]["Last-Event-ID"], "#8-9");
});

test("a pause is anything up to a growing bound, on top of what was asked for", (t) => {
  const table = [
    // failures, base, cap, asked; lowest, highest
    [0, 1_000, 30_000, 0, 0, 1_000],
    [3, 1_000, 30_000, 0, 0, 8_000],
    [99, 1_000, 30_000, 0, 0, 30_000],
    [2, 1_000, 30_000, 5_000, 5_000, 9_000],
    [0, 1_000, 30_000, 1e30, 3_600_000, 3_601_000],
  ];
  for (const [failures, base, cap, asked, lowest, highest] of table) {
    for (const [random, want] of [[0, lowest], [1, highest]]) {
      t.mock.method(Math, "random", () => random);
      assert.equal(pauseMs(failures, base, cap, asked), want);
    }
  }
});

test("Retry-After", () => {
  const now = Date.parse("Sat, 21 Nov 2026 18:00:00 GMT");
  const table = [[null, 0], ["", 0], ["3", 3_000], [" 3 ", 3_000], ["0", 0], ["-1", 0], ["soon", 0], ["Sat, 21 Nov 2026 18:00:05 GMT", 5_000], ["Sat, 21 Nov 2026 17:00:00 GMT", 0]];
  for (const [value, want] of table) assert.equal(retryAfterMs(value, now), want, String(value));
});

test("NDJSON and pages, cut anywhere", () => {
  const event = { type: "message", data: "ä\n", id: "#1-2", topics: ["a"], private: false, time: "t" };
  const own = { ...event, id: "own", position: 3 };
  const open = { type: "tidewire.open", data: { stream: "s" }, id: "#1-1" };
  const item = { type: "message", data: "ä\n", id: "#1-2", position: undefined, topics: ["a"] };
  const ownItem = { ...item, id: "own", position: 3 };
  const control = (type, data, id) => ({ type: `tidewire.${type}`, data, id, position: undefined, topics: undefined });
  const table = [
    [[open, event, own], [control("open", '{"stream":"s"}', "#1-1"), item, ownItem]],
    [[{ type: "tidewire.at", data: null, id: "#1-3" }], [control("at", "", "#1-3")]],
    [[{ events: [own, event], next: "#1-9", gap: { reason: "expired" } }], [control("gap", '{"reason":"expired"}'), ownItem, item, control("at", "", "#1-9")]],
    [[{ events: [], next: "#1-9" }], [control("at", "", "#1-9")]],
  ];
  for (const [documents, want] of table) {
    const text = `\n    \n${documents.map((document) => JSON.stringify(document)).join("\n\n")}\n`;
    for (let at = 0; at <= text.length; at++) {
      const items = [];
      const reader = lineReader((item) => items.push(item));
      reader.push(text.slice(0, at));
      reader.push(text.slice(at));
      assert.deepEqual(items, want);
    }
  }
});

test("the order of ids", () => {
  const table = [
    ["#1-2", "#1-1", true],
    ["#1-10", "#1-9", true],
    ["#1-1", "#1-1", false],
    ["#1-1", "#1-2", false],
    ["#2-1", "#1-9", true],
    ["#1-9", "#2-1", false],
    // Cannot be compared.
    ["own", "#1-1", true],
    ["#1-1", "own", true],
    ["#1-1", undefined, true],
    [undefined, "#1-1", true],
  ];
  for (const [id, other, want] of table) assert.equal(isAfter(id, other), want, `${id} ${other}`);
});

test("a block with an id alone moves the cursor, and is no event", () => {
  const items = [];
  const reader = streamReader((item) => items.push(item), () => {});
  reader.push("event: alarm\nid: 5\n\nid\n\nevent: x\n\n");
  assert.deepEqual(items, [{ type: "tidewire.at", data: "", id: "5" }, { type: "tidewire.at", data: "", id: "" }]);
});
