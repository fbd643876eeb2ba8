// URLs taken apart, and which events a list of topics asks for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.js";

const { parseAddress, filterOf, topicPair, addTo, containsAll } = await load("address");

test("URLs", () => {
  const hub = "https://h.x/.well-known/mercure";
  const table = [
    ["https://h.x/topics/a%20b/c", { base: hub, topics: ["topic=a%20b%2Fc"] }],
    ["https://h.x/topics/a%7Bid%7D", { base: hub, topics: ["match=a%7Bid%7D"] }],
    ["https://h.x/below/topics/a?since=10m&padding=5", { base: "https://h.x/below/.well-known/mercure", topics: ["topic=a"], since: "10m", rest: ["padding=5"] }],
    [`${hub}?topic=a+b&topic=a%2Fb&x=1&last_event_id=%23a#hash`, { base: hub, topics: ["topic=a%20b", "topic=a%2Fb"], rest: ["x=1"], lastEventId: "#a" }],
    [`${hub}?match=a=b&match_urlpattern=/x/:id&Last-Event-ID=9`, { base: hub, topics: ["match=a%3Db", "match_urlpattern=%2Fx%2F%3Aid"], lastEventId: "9" }],
    // What is no escape, or no UTF-8, stays as it is.
    ["https://h.x/topics/100%", { base: hub, topics: ["topic=100%25"] }],
    ["https://h.x/topics/50%25%/%zz%C3%A4%FF", { base: hub, topics: ["topic=50%25%25%2F%25zz%25C3%25A4%25FF"] }],
    [`${hub}?topic=100%&x=%&last_event_id=%`, { base: hub, topics: ["topic=100%25"], rest: ["x=%"], lastEventId: "%" }],
    ["https://h.x/events?topic=a", { hub: false, base: "https://h.x/events?topic=a", topics: [] }],
  ];
  for (const [url, want] of table) {
    const { _hub: isHub, _base: base, _rest: rest, _topics: topics, _lastEventId: lastEventId, _since: since } = parseAddress(url);
    assert.deepEqual({ hub: isHub, base, rest, topics, lastEventId, since }, { hub: true, rest: [], lastEventId: undefined, since: undefined, ...want }, url);
  }
});

test("which events are asked for", () => {
  const table = [
    [["topic=a"], ["a"], true],
    [["topic=a"], ["b", "a"], true],
    [["topic=a", "topic=b"], ["c"], false],
    [["topic=a%2Fb"], ["a/b"], true],
    [["topic=*"], ["c"], true],
    [["match=a%7Bid%7D"], ["a{id}"], true],
    [["match_urlpattern=*"], ["c"], true],
    [["topic=a"], undefined, true],
    // Only the hub can tell.
    [["topic=a%7Bid%7D"], ["a1"], undefined],
    [["topic=a", "topic=b%7Bid%7D"], ["a"], undefined],
    [["match_urlpattern=a"], ["a"], undefined],
  ];
  for (const [topics, of, want] of table) assert.equal(filterOf(topics)?.({ type: "message", data: "", topics: of }), want, `${topics} ${of}`);
  assert.equal(filterOf(["topic=a"])({ type: "tidewire.gap", data: "", topics: ["b"] }), true);
});

test("lists", () => {
  assert.deepEqual(addTo(["a"], ["b", "a", "b"]), ["a", "b"]);
  assert.equal(containsAll(["a", "b"], ["b"]), true);
  assert.equal(containsAll(["a"], ["b"]), false);
  assert.equal(topicPair("a b", ["topic=x"]), "topic=a%20b");
  assert.equal(topicPair("a{b}", ["match_urlpattern=x"]), "match=a%7Bb%7D");
});
