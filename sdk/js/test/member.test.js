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

/** A member that begins after 10, reads these pages and holds the first back until `open` is called; its listener does `then`. */
function startMember(t, pages, then = () => {}) {
  const left = pages.map((positions) => JSON.stringify({ events: positions.map((position) => event(position)), next: `#1-${positions.at(-1) ?? 10}` }));
  const seen = [];
  const asked = [];
  let open;
  const opened = new Promise((resolve) => { open = resolve; });
  t.mock.method(globalThis, "fetch", async (_, { headers, signal }) => {
    asked.push(headers["Last-Event-ID"]);
    // As a hub answers, so is the page: what it has is decided before it is on its way.
    const body = left.shift() ?? JSON.stringify({ events: [], next: headers["Last-Event-ID"] });
    await opened;
    if (signal.aborted) throw new Error("aborted");
    return new Response(`${body}\n`, { headers: { "Content-Type": "application/json" } });
  });
  const address = parseAddress("https://h.x/topics/news?last_event_id=%231-10");
  const member = new Member(address, settle({}, true), { _opened() {}, _lost() {}, _failed: assert.fail, _item: ({ type, data }) => type === "message" && then(seen.push(data), member) });
  t.after(() => member._wait());
  member._join("#1-99", false, true);
  return { member, seen, asked, open };
}

/** Waits until it has seen this, and a little for what it should not see. */
async function untilSeen(seen, want) {
  for (let tries = 0; seen.length < want.length && tries < 2_000; tries++) await turn();
  await turn();
  assert.deepEqual(seen, want);
}

const numbers = (text) => text.split(" ").filter(Boolean);

for (const [name, pages, meanwhile, after, want] of table) {
  test(`catching up: ${name}`, async (t) => {
    const { member, seen, open } = startMember(t, pages);
    for (const position of meanwhile) member._next(item(position));
    open();
    const isAfterwards = (data) => after.includes(Number(data)) && !meanwhile.includes(Number(data)) && !pages.flat().includes(Number(data));
    await untilSeen(seen, numbers(want).filter((data) => !isAfterwards(data)));
    for (const position of after) member._next(item(position));
    await untilSeen(seen, numbers(want));
  });
}

test("catching up: a word that is missed meanwhile is read from a page that was asked for later", async (t) => {
  // The first page was answered before 12, and says that there is no more.
  const { member, seen, asked, open } = startMember(t, [[], [11, 12, 13]]);
  for (let tries = 0; asked.length < 1 && tries < 2_000; tries++) await turn();
  member._next(item(11));
  member._missed();
  member._next(item(13));
  open();
  await untilSeen(seen, numbers("11 12 13"));
  member._next(item(14));
  await untilSeen(seen, numbers("11 12 13 14"));
  assert.deepEqual(asked, ["#1-10", "#1-10"]);
});

test("catching up: a listener that closes, or changes topics, is told no more of the page", async (t) => {
  const { seen, open } = startMember(t, [[11, 12, 13], []], (count, member) => count === 2 && member._wait());
  open();
  await untilSeen(seen, numbers("11 12"));
});

test("catching up: the stream begins anew meanwhile, further on than what is kept", async (t) => {
  const { member, seen, asked, open } = startMember(t, [[], [11, 12, 13]]);
  for (let tries = 0; asked.length < 1 && tries < 2_000; tries++) await turn();
  member._next(item(12));
  // 13 was heard by whoever leads now, and not here.
  member._join("#1-13", false, true);
  member._next(item(14));
  open();
  await untilSeen(seen, numbers("11 12 13 14"));
});

test("catching up: a live reader that misses a word reads it, and the stream after it", async (t) => {
  const { member, seen, open } = startMember(t, [[], [12, 13]]);
  open();
  for (let tries = 0; member._phase !== 2 && tries < 2_000; tries++) await turn();
  member._next(item(11));
  member._missed();
  member._next(item(13));
  await untilSeen(seen, numbers("11 12 13"));
});

test("catching up: what is kept is bounded, and what is too much is read from pages", async (t) => {
  const count = 60;
  const positions = Array.from({ length: count }, (_, number) => 11 + number);
  const { member, seen, asked, open } = startMember(t, [[], positions.slice(0, 40), positions.slice(40)]);
  for (let tries = 0; asked.length < 1 && tries < 2_000; tries++) await turn();
  for (const position of positions) {
    member._next({ ...item(position), data: "x".repeat(200_000) });
    const kept = member._kept.reduce((sum, { data }) => sum + data.length, 0);
    assert.ok(kept <= 1 << 22, `${kept} characters are kept`);
  }
  open();
  for (let tries = 0; member._phase !== 2 && tries < 2_000; tries++) await turn();
  member._next(item(11 + count));
  assert.equal(seen.length, count + 1);
  assert.deepEqual(seen.filter((data) => data.length < 9).at(-1), String(11 + count));
});
