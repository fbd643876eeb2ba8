// Catching up: pages and the stream, whichever is ahead, each event once and in order.

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.js";

const { Member } = await load("member");
const { parseAddress } = await load("address");
const { settle } = await load("settings");

/** Positions in the log; data and position are one, the id may be a publisher's own. */
const event = (position, topic = "news") => ({ type: "message", data: String(position), id: position % 3 ? `#1-${position}` : "own", position, topics: [topic] });
const item = (position, topic) => ({ ...event(position, topic), at: `#1-${position}` });
const turn = () => new Promise((wake) => setTimeout(wake, 5));

/** What the pages are, what the stream brings while they are read and afterwards, and the data that is to be seen. It begins after 10. */
const table = [
  ["the stream has nothing yet", [[11, 12], []], [], [13], "11 12 13"],
  ["they overlap", [[11, 12, 13]], [12, 13, 14], [15], "11 12 13 14 15"],
  ["the pages are ahead of the stream", [[11, 12, 13], []], [], [12, 13, 14], "11 12 13 14"],
  ["the stream is behind while they meet", [[11, 12, 13, 14]], [12], [13, 14, 15], "11 12 13 14 15"],
  ["the stream is further back than the start", [[11, 12]], [8, 9], [10, 11, 12, 13], "11 12 13"],
  ["the stream begins beyond them", [[11], []], [12, 13], [14], "11 12 13 14"],
];

for (const [name, pages, meanwhile, after, want] of table) {
  test(`catching up: ${name}`, async (t) => {
    const left = pages.map((ids) => JSON.stringify({ events: ids.map((position) => event(position)), next: `#1-${ids.at(-1) ?? 10}` }));
    let open;
    const opened = new Promise((resolve) => { open = resolve; });
    t.mock.method(globalThis, "fetch", async () => {
      await opened;
      return new Response(`${left.shift() ?? JSON.stringify({ events: [], next: "#1-10" })}\n`, { headers: { "Content-Type": "application/json" } });
    });
    const seen = [];
    const address = parseAddress("https://h.x/topics/news?last_event_id=%231-10");
    const member = new Member(address, settle({}, true), { _opened() {}, _lost() {}, _failed: assert.fail, _item: ({ type, data }) => type === "message" && seen.push(data) });
    t.after(() => member._wait());
    member._join("#1-99", false, true);
    for (const position of meanwhile) member._next(item(position));
        open();
    while (left.length > 0) await turn();
    await turn();
    for (const position of after) member._next(item(position));
    assert.equal(seen.join(" "), want);
  });
}
