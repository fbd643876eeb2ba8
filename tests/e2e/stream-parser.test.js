// The page's own reading of the event stream against the vectors that Rust is held to.

import { readFileSync } from "node:fs";

import { testReader } from "../../spec/event-stream/decode.mjs";

// Read as text: no package.json stands beside the page to tell node that it is a module.
const source = readFileSync(new URL("../../crates/http/assets/stream.js", import.meta.url), "utf8");
const { StreamParser } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

testReader((lastEventId, seen) => {
  const parser = new StreamParser(lastEventId, {
    onId: (id) => { seen.lastEventIdAfter = id; },
    onRetry: (ms) => { seen.retry = ms; },
    onEvent: ({ type, data }) => seen.events.push({ type, data, lastEventId: seen.lastEventIdAfter }),
  });
  return (text) => parser.push(text);
});
