// Reads JSON documents, one a line: events as the hub writes them for `Accept: application/x-ndjson`, and pages, which are one
// line each (`Accept: application/json`).

import { CHECKPOINT, GAP, Item } from "./item";
import type { Reader } from "./parser";

/** As the hub writes an event. A control event's data is an object, or null. */
interface Written {
  type: string;
  data: unknown;
  id?: string;
  topics?: string[];
}

interface Page {
  events: Written[];
  next: string;
  gap?: unknown;
}

function asItem({ type, data, id, topics }: Written): Item {
  return { type, data: typeof data === "string" ? data : data == null ? "" : JSON.stringify(data), id, topics };
}

/** A page's events, its gap before them as a stream would tell it, and its cursor after them as a checkpoint. */
function itemsOf({ events, next, gap }: Page): Item[] {
  const before = gap ? [{ type: GAP, data: JSON.stringify(gap) }] : [];
  return before.concat(events.map(asItem), { type: CHECKPOINT, data: "", id: next } as Item);
}

export function lineReader(take: (item: Item) => void): Reader {
  let rest = "";
  return {
    push(text) {
      const lines = text.split("\n");
      lines[0] = rest + lines[0];
      rest = lines.pop()!;
      for (const line of lines) {
        // An empty line is a heartbeat, or padding.
        if (!line.trim()) continue;
        const written = JSON.parse(line);
        if (written.events) itemsOf(written).forEach(take);
        else take(asItem(written));
      }
    },
  };
}
