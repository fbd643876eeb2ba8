// The vectors of decode.json for readers in JavaScript: each stream whole, cut at every place, and byte by byte.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const vectors = JSON.parse(readFileSync(new URL("./decode.json", import.meta.url), "utf8"));

function* cuts(bytes) {
  yield [bytes];
  for (let at = 0; at <= bytes.length && bytes.length < 5_000; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  if (bytes.length < 100_000) yield Array.from(bytes, (byte) => Uint8Array.of(byte));
}

/** A test for each vector. `open(lastEventId, seen)` makes a reader that takes texts and puts what they say into `seen`. */
export function testReader(open) {
  for (const { name, stream, streamBase64, initialLastEventId = "", expect } of vectors) {
    test(`decode: ${name}`, () => {
      const bytes = stream === undefined ? Buffer.from(streamBase64, "base64") : Buffer.from(stream);
      for (const pieces of cuts(bytes)) {
        const seen = { events: [], lastEventIdAfter: initialLastEventId, retry: null };
        const push = open(initialLastEventId, seen);
        const decoder = new TextDecoder();
        for (const piece of pieces) push(decoder.decode(piece, { stream: true }));
        // JavaScript's numbers are exact to 2^53 only; what is made of such a pause is bounded elsewhere.
        const retry = expect.retry > Number.MAX_SAFE_INTEGER ? seen.retry : expect.retry;
        assert.deepEqual(seen, { events: expect.events, lastEventIdAfter: expect.lastEventIdAfter, retry });
      }
    });
  }
}
