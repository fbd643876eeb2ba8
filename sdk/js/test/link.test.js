// Pauses, and what NDJSON and pages become.

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.js";

const { pauseMs, retryAfterMs } = await load("backoff");
const { lineReader } = await load("ndjson");
const { streamReader } = await load("parser");
const { isAfter } = await load("item");

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
  const [item, ownItem] = [{ type: "message", data: "ä\n", id: "#1-2", at: "#1-2", topics: ["a"] }, { type: "message", data: "ä\n", id: "own", at: "#1-3", topics: ["a"] }];
  const control = (type, data, id) => ({ type: `tidewire.${type}`, data, id, at: id, topics: undefined });
  const table = [
    [[open, event, own], [control("open", '{"stream":"s"}', "#1-1"), item, ownItem]],
    [[{ type: "tidewire.at", data: null, id: "#1-3" }], [control("at", "", "#1-3")]],
    [[{ events: [own, event], next: "#1-9", gap: { reason: "expired" } }], [control("gap", '{"reason":"expired"}'), ownItem, item, control("at", "", "#1-9")]],
    [[{ events: [], next: "#1-9" }], [control("at", "", "#1-9")]],
    // A hub that does not tell places, and a life that is not known.
    [[{ ...own, position: undefined }], [{ ...ownItem, at: undefined }]],
    [[own], [{ ...ownItem, at: undefined }]],
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
