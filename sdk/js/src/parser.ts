// Reads the event stream format (WHATWG HTML, section 9.2.6). Takes text: decoding UTF-8 and dropping the one leading BOM is
// done before (9.2.5: "streams must be decoded using the UTF-8 decode algorithm").

import { CHECKPOINT, Item } from "./item";

export interface Reader {
  /** The next piece, cut anywhere. */
  push(text: string): void;
}

/** `take` gets events, and a checkpoint for a block that has an id only; `retry` the reconnection time in milliseconds. */
export function streamReader(take: (item: Item) => void, retry: (ms: number) => void): Reader {
  let rest = "";
  let endsWithCr = false;
  let type = "";
  let data = "";
  let id: string | undefined;

  function field(line: string): void {
    // 9.2.6: "If the line is empty (a blank line): Dispatch the event".
    if (!line) return dispatch();
    const colon = line.indexOf(":");
    // "If the line starts with a U+003A COLON character (:): Ignore the line": its field has no name, and unknown ones are
    // ignored. "Otherwise, the string is not empty but does not contain a colon: use the whole line as the field name".
    const name = colon < 0 ? line : line.slice(0, colon);
    // "If value starts with a U+0020 SPACE character, remove it": one, not more.
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") {
      // "Append the field value to the data buffer, then append a single U+000A LINE FEED".
      data += value + "\n";
    } else if (name === "event") {
      type = value;
    } else if (name === "id") {
      // "If the field value does not contain U+0000 NULL, then set the last event ID buffer".
      if (value.indexOf("\0") < 0) id = value;
    } else if (name === "retry" && /^\d+$/.test(value)) {
      // "If the field value consists of only ASCII digits".
      retry(+value);
    }
  }

  function dispatch(): void {
    // "If the data buffer's last character is a U+000A LINE FEED, then remove" it; "message", unless a type was named.
    if (data) take({ type: type || "message", data: data.slice(0, -1), id });
    // "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string and return":
    // but "Set the last event ID string of the event source" was done before.
    else if (id !== undefined) take({ type: CHECKPOINT, data: "", id });
    type = data = "";
    id = undefined;
  }

  return {
    push(text) {
      if (!text) return;
      // 9.2.6: CR LF is one line end, also where a piece ends between the two; and a CR ends its line without waiting.
      if (endsWithCr && text[0] === "\n") text = text.slice(1);
      endsWithCr = text.slice(-1) === "\r";
      const lines = text.split(/\r\n|\r|\n/);
      lines[0] = rest + lines[0];
      rest = lines.pop()!;
      for (const line of lines) field(line);
    },
  };
}
