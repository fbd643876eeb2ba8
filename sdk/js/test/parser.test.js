// The vectors that Rust is held to (spec/event-stream), cut at every place.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { load } from "./load.js";

const { streamReader } = await load("parser");
const vectors = JSON.parse(readFileSync(new URL("../../../spec/event-stream/decode.json", import.meta.url), "utf8"));

function read(pieces, initialLastEventId = "") {
  const seen = { events: [], lastEventIdAfter: initialLastEventId, retry: null };
  const take = ({ type, data, id }) => {
    if (id !== undefined) seen.lastEventIdAfter = id;
    if (type !== "tidewire.at") seen.events.push({ type, data, lastEventId: seen.lastEventIdAfter });
  };
  const reader = streamReader(take, (ms) => { seen.retry = ms; });
  const decoder = new TextDecoder();
  for (const piece of pieces) reader.push(decoder.decode(piece, { stream: true }));
  return seen;
}

function* cuts(bytes) {
  yield [bytes];
  for (let at = 0; at <= bytes.length && bytes.length < 5_000; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  if (bytes.length < 100_000) yield Array.from(bytes, (byte) => Uint8Array.of(byte));
}

for (const { name, stream, streamBase64, initialLastEventId, expect } of vectors) {
  test(`decode: ${name}`, () => {
    const bytes = stream === undefined ? Buffer.from(streamBase64, "base64") : Buffer.from(stream);
    for (const pieces of cuts(bytes)) {
      const { events, lastEventIdAfter, retry } = read(pieces, initialLastEventId);
      // Numbers are exact to 2^53 only; what is made of such a pause is bounded elsewhere.
      const expectedRetry = expect.retry > Number.MAX_SAFE_INTEGER ? retry : expect.retry;
      assert.deepEqual({ events, lastEventIdAfter, retry }, { events: expect.events, lastEventIdAfter: expect.lastEventIdAfter, retry: expectedRetry });
    }
  });
}
