// The SDK's own reading of the event stream against the vectors that Rust is held to.

import { testReader } from "../../../spec/event-stream/decode.mjs";
import { load } from "./load.js";

const { streamReader } = await load("parser");

testReader((_, seen) => {
  const take = ({ type, data, id }) => {
    if (id !== undefined) seen.lastEventIdAfter = id;
    if (type !== "tidewire.at") seen.events.push({ type, data, lastEventId: seen.lastEventIdAfter });
  };
  const reader = streamReader(take, (ms) => { seen.retry = ms; });
  return (text) => reader.push(text);
});
