// The interface of EventSource (WHATWG HTML, section 9.2), and what Tidewire adds to it.

import { Address, addTo, containsAll, filterOf, parseAddress, topicPair } from "./address";
import { cursor, keepCursor } from "./cursor";
import { join } from "./group";
import type { Item } from "./item";
import { Member } from "./member";
import { settle, Settings, TidewireSourceInit } from "./settings";
import { makeEvent, makeMessage, originOf, resolve, Target } from "./target";

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;

/** A loss, or the end: `status` is the HTTP status that said so, 0 if none did. Optional, so that who takes an EventSource takes this too. */
export type TidewireErrorEvent = Event & { status?: number };

type Handler<E> = ((event: E) => any) | null;

type Listener<E> = (this: TidewireSource, event: E) => any;

export interface TidewireSource {
  addEventListener(type: "open", listener: Listener<Event>, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: "error", listener: Listener<TidewireErrorEvent>, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: Listener<MessageEvent>, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  removeEventListener(type: string, listener: Listener<any> | EventListenerObject, options?: boolean | EventListenerOptions): void;
}

/** An EventSource that does not miss events. */
export class TidewireSource extends Target {
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSED: 2;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSED: 2;

  declare onopen: Handler<Event>;
  declare onmessage: Handler<MessageEvent>;
  declare onerror: Handler<TidewireErrorEvent>;
  /** Events were lost before they could be read: `JSON.parse(event.data).reason` says why. */
  declare ongap: Handler<MessageEvent>;

  readonly url: string;
  readonly withCredentials: boolean;

  private _readyState = CONNECTING;
  private _member: Member;
  private _endKeeping: (() => void) | undefined;

  constructor(url: string | URL, init: TidewireSourceInit = {}) {
    super();
    this.url = resolve(String(url));
    this.withCredentials = !!init.withCredentials;
    const address = parseAddress(this.url);
    if (init.resume) {
      const key = init.resume + " " + this.url;
      address._lastEventId = cursor(key) || address._lastEventId;
      this._endKeeping = keepCursor(key, () => this._member._lastId);
    }
    address._lastEventId = init.lastEventId ?? address._lastEventId;
    const settings = settle(init, address._hub);
    this._member = new Member(address, settings, {
      _opened: () => this._announce(),
      _item: (item) => this._dispatch(item),
      _lost: (status) => this._lost(status),
      _failed: (status) => this._fail(status),
    });
    this._nameOf = (topics) => groupName(address, settings, topics);
    join(this._member, this._nameOf(this._member._topics));
  }

  get readyState(): number {
    return this._readyState;
  }

  /** After what the next connection goes on; the hub's own words move it too. */
  get lastEventId(): string {
    return this._member._lastId || "";
  }

  /** As the URL names them: `topic=news`. */
  get topics(): string[] {
    return this._member._topics.slice();
  }

  /** Reads these topics too. Nothing of the others is lost or told twice. */
  addTopics(...topics: string[]): void {
    const have = this._member._topics;
    this._ask(addTo(have, topics.map((topic) => topicPair(topic, have))));
  }

  removeTopics(...topics: string[]): void {
    const have = this._member._topics;
    const gone = topics.map((topic) => topicPair(topic, have));
    this._ask(have.filter((topic) => gone.indexOf(topic) < 0));
  }

  /** 9.2.2: "abort any instances of the fetch algorithm started for this EventSource object, and set readyState to CLOSED". */
  close(): void {
    if (this._readyState === CLOSED) return;
    this._readyState = CLOSED;
    this._member._group._remove(this._member);
    this._endKeeping?.();
  }

  private declare _nameOf: (topics: string[]) => string | undefined;

  private _ask(topics: string[]): void {
    const member = this._member;
    if (this._readyState === CLOSED || (containsAll(topics, member._topics) && containsAll(member._topics, topics))) return;
    if (!topics.length) throw new DOMException("no topic is left", "SyntaxError");
    const isMoving = this._nameOf(topics) !== this._nameOf(member._topics);
    const group = member._group;
    member._ask(topics);
    if (!isMoving) return group._want();
    group._remove(member);
    join(member, this._nameOf(topics));
  }

  /** 9.2.3: "if the readyState attribute is set to a value other than CLOSED, set [it] to OPEN and fire an event named open". */
  private _announce(): void {
    if (this._readyState !== CONNECTING) return;
    this._readyState = OPEN;
    this.dispatchEvent(makeEvent("open"));
  }

  /** 9.2.6: the event's "lastEventId attribute must be initialized to the last event ID string"; "if readyState is not CLOSED". */
  private _dispatch({ type, data, id }: Item): void {
    if (this._readyState === CLOSED) return;
    this.dispatchEvent(makeMessage(type, { data, lastEventId: id ?? this.lastEventId, origin: originOf(this.url) }));
  }

  /** 9.2.3, reestablish the connection: "set the readyState attribute to CONNECTING, and fire an event named error". */
  private _lost(status: number): void {
    if (this._readyState === CLOSED) return;
    this._readyState = CONNECTING;
    if (status >= 0) this._error(status);
  }

  /** 9.2.3, fail the connection: "set the readyState attribute to CLOSED, and fire an event named error". */
  private _fail(status: number): void {
    if (this._readyState === CLOSED) return;
    this.close();
    this._error(status);
  }

  private _error(status: number): void {
    const event: any = makeEvent("error");
    event.status = status;
    this.dispatchEvent(event);
  }
}

/** Who has the same name reads one stream; undefined for who reads alone. */
function groupName(address: Address, { token, share, withCredentials }: Settings, topics: string[]): string | undefined {
  // Whose token it is, only the page knows; and a label takes the type away.
  const isNamed = typeof share === "string";
  const rest = address._rest.join("&");
  if (!topics.length || share === false || (token && !isNamed) || /\blabel=/.test(rest)) return undefined;
  const dialect = topics[0].slice(0, 5);
  // Where the page cannot tell whom an event is for, all must want the same.
  const same = filterOf(topics) ? "" : topics.slice().sort().join("&");
  // The number is the language's that the tabs speak: those of another build stay among themselves.
  return ["tidewire 1", address._base, rest, dialect, withCredentials, isNamed && share, same].join(" ");
}

[TidewireSource, TidewireSource.prototype].forEach((owner: any) => {
  owner.CONNECTING = CONNECTING;
  owner.OPEN = OPEN;
  owner.CLOSED = CLOSED;
});

// HTML, section 8.1.8.1: event handler IDL attributes. The listener keeps the place of the first handler set.
["open", "message", "error", "gap"].forEach((name) => {
  const key = "_on" + name;
  Object.defineProperty(TidewireSource.prototype, "on" + name, {
    get(this: any) {
      return this[key] ?? null;
    },
    set(this: any, handler: unknown) {
      if (this[key] === undefined) {
        this.addEventListener(name === "gap" ? "tidewire.gap" : name, (event: Event) => {
          this[key]?.(event);
        });
      }
      this[key] = typeof handler === "function" ? handler : null;
    },
    enumerable: true,
    configurable: true,
  });
});
