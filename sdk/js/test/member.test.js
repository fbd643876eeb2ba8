// Catching up: pages and the stream, whichever is ahead, each event once and in order.

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.js";

const { Member } = await load("member");
const { parseAddress } = await load("address");
const { settle } = await load("settings");

const event = (id, topic = "news") => ({ type: "message", data: id, id, topics: [topic] });
const turn = () => new Promise((wake) => setTimeout(wake, 5));

/** What the pages are, what the stream brings while they are read and afterwards, and the data that is to be seen. */
const table = [
  ["the stream has nothing yet", [["a", "b"], []], [], ["c"], "a b c"],
  ["they overlap", [["a", "b", "c"]], ["b", "c", "d"], ["e"], "a b c d e"],
  ["the pages are ahead of the stream", [["a", "b", "c"], []], [], ["b", "c", "d"], "a b c d"],
  ["the stream is behind while they meet", [["a", "b", "c", "d"]], ["b"], ["c", "d", "e"], "a b c d e"],
  ["the stream begins beyond them", [["a"], []], ["b", "c"], ["d"], "a b c d"],
  ["an id that a publisher uses again", [["x", "x"], []], [], ["x", "y", "x"], "x x y x"],
];

for (const [name, pages, meanwhile, after, want] of table) {
  test(`catching up: ${name}`, async (t) => {
    const left = pages.map((ids) => JSON.stringify({ events: ids.map((id) => event(id)), next: "#1-0" }));
    let open;
    const opened = new Promise((resolve) => { open = resolve; });
    t.mock.method(globalThis, "fetch", async () => {
      await opened;
      return new Response(`${left.shift() ?? JSON.stringify({ events: [], next: "#1-0" })}\n`, { headers: { "Content-Type": "application/json" } });
    });
    const seen = [];
    const address = parseAddress("https://h.x/topics/news?last_event_id=old");
    const member = new Member(address, settle({}, true), { _opened() {}, _lost() {}, _failed: assert.fail, _item: ({ type, data }) => type === "message" && seen.push(data) });
    t.after(() => member._wait());
    member._join("now", false, true);
    for (const id of meanwhile) member._next(event(id));
    member._next(event("other", "weather"));
    open();
    while (left.length > 0) await turn();
    await turn();
    for (const id of after) member._next(event(id));
    assert.equal(seen.join(" "), want);
  });
}
