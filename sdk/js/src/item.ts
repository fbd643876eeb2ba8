// What a stream brings: an event, or one of the hub's own words about the stream; and the order of both.

/** An event as it came, before anybody is told of it. */
export interface Item {
  type: string;
  data: string;
  /** The event's own id; absent where it had none. */
  id?: string;
  /** After what a reader goes on that has it: its place in the hub's log, written as an id of the hub's, or else its id. */
  at?: string;
  /** The number of that place, told beside an id of the publisher's own. */
  position?: number;
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

/** An id of the hub's own making: `#`, the log's life, and the position in it. */
export const PLACE = /^#(\d+)-(\d+)$/;

/** Whether what has this id comes after what has that; true where they cannot be compared. */
export function isAfter(id: string | undefined, other: string | undefined): boolean {
  const a = PLACE.exec(id!);
  const b = PLACE.exec(other!);
  return !a || !b || (a[1] === b[1] ? +a[2] > +b[2] : +a[1] > +b[1]);
}
