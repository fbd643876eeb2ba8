// Reads JSON documents, one a line: events as the hub writes them for `Accept: application/x-ndjson`, and pages, which are one
// line each (`Accept: application/json`).

import { CHECKPOINT, GAP, Item } from "./item";
import type { Reader } from "./parser";

/** As the hub writes an event. A control event's data is an object, or null; who has an id of its own has a position too. */
interface Written {
  type: string;
  data: unknown;
  id?: string;
  position?: number;
  topics?: string[];
}

interface Page {
  events: Written[];
  next: string;
  gap?: unknown;
}

export function lineReader(take: (item: Item) => void): Reader {
  let rest = "";

  function takeEvent({ type, data, id, position, topics }: Written): void {
    take({ type, data: typeof data === "string" ? data : data == null ? "" : JSON.stringify(data), id, position, topics });
  }

  /** Its gap first, as a stream would tell it, and its cursor last, as a checkpoint. */
  function takePage({ events, next, gap }: Page): void {
    if (gap) takeEvent({ type: GAP, data: gap });
    events.forEach(takeEvent);
    takeEvent({ type: CHECKPOINT, data: "", id: next });
  }

  return {
    push(text) {
      const lines = text.split("\n");
      lines[0] = rest + lines[0];
      rest = lines.pop()!;
      for (const line of lines) {
        // An empty line is a heartbeat, or padding.
        if (!line.trim()) continue;
        const written = JSON.parse(line);
        if (written.events) takePage(written);
        else takeEvent(written);
      }
    },
  };
}
