// What a stream brings: an event, or one of the hub's own words about the stream.

/** An event as it came, before anybody is told of it. */
export interface Item {
  type: string;
  data: string;
  /** The event's own id; absent where it had none. */
  id?: string;
  /** The topics it was published to; only NDJSON and pages tell them. */
  topics?: string[];
}

export const GAP = "tidewire.gap";
/** Has an id and says no more than that everything before it was sent. */
export const CHECKPOINT = "tidewire.at";

/** The hub's own types, which nobody may publish: for every reader, whatever it subscribed to. */
export function isControl(item: Item): boolean {
  return item.type.slice(0, 9) === "tidewire.";
}
