// One who reads along: which events of the stream it asked for, how far it has come, and how it catches up where the stream
// has begun without it.

import { Address, filterOf } from "./address";
import type { Group } from "./group";
import { GAP, isAfter, isControl, Item } from "./item";
import { Link, PAGE } from "./link";
import type { Settings } from "./settings";

export interface MemberListener {
  /** The stream runs; told again whenever it begins anew. */
  _opened(): void;
  _item(item: Item): void;
  /** With the HTTP status that said so, 0 if the network did, below 0 if the page goes to sleep. */
  _lost(status: number): void;
  _failed(status: number): void;
}

/** Waiting: the stream does not run, or not for all its topics. Catching up: what comes is kept until what was is read. */
export const enum Phase {
  Waiting,
  CatchingUp,
  Live,
}

/** So much is kept while catching up, in characters; beyond the data, an item counts for some. */
const KEPT_MAX = 1 << 22;
const ITEM_CHARS = 99;

export class Member {
  _phase = Phase.Waiting;
  _lastId: string | undefined;
  _topics!: string[];
  /** Set by the group that it joins. */
  _group!: Group;
  private _filter!: (item: Item) => boolean;
  private _kept!: Item[];
  /** How much more may be kept, in characters. */
  private _room!: number;
  /** The page that is awaited was asked for when what is kept began. */
  private _isFresh!: boolean;
  private _link: Link | undefined;

  constructor(
    readonly _address: Address,
    readonly _settings: Settings,
    readonly _on: MemberListener,
  ) {
    this._lastId = _address._lastEventId;
    this._ask(_address._topics);
  }

  _ask(topics: string[]): void {
    this._topics = topics;
    this._filter = filterOf(topics) || (() => true);
    this._wait();
  }

  _wait(): void {
    this._link?._stop();
    this._link = undefined;
    this._phase = Phase.Waiting;
  }

  /** A stream that others read too runs with all its topics, after this id; `follows` if it goes on where this tab was. */
  _join(from: string | undefined, follows: boolean, isNew: boolean): void {
    if (this._phase === Phase.CatchingUp) {
      if (isNew || !follows) this._keepAnew();
    } else if (this._phase === Phase.Waiting || !follows) {
      if (this._lastId === undefined && !this._address._since) return this._begin(from);
      // What it has read already is not taken again.
      if (this._lastId === from || !isAfter(from, this._lastId)) return this._begin(this._lastId);
      this._catchUp();
    }
    this._on._opened();
  }

  /** A word of the stream was missed. */
  _missed(): void {
    if (this._phase === Phase.Live) this._catchUp();
    else this._keepAnew();
  }

  /** What is kept lacks something, or is too much: a page that is asked for from now on has it all. */
  private _keepAnew(): void {
    this._kept = [];
    this._room = KEPT_MAX;
    this._isFresh = false;
  }

  /** Reads the stream, after this id. */
  _begin(from: string | undefined): void {
    this._wait();
    this._phase = Phase.Live;
    this._lastId = from;
    this._on._opened();
  }

  /** The next of the stream. */
  _next(item: Item): void {
    if (this._phase === Phase.Live) return this._take(item);
    if (this._phase === Phase.Waiting) return;
    this._kept.push(item);
    this._room -= item.data.length + ITEM_CHARS;
    if (this._room < 0) this._keepAnew();
  }

  /** A stream that begins anew, and pages that are ahead of it, bring again what was read: each event is taken once. */
  private _take(item: Item): void {
    const id = item.at;
    // After a gap the log may have begun a new life, with places of its own.
    if (item.type === GAP) this._lastId = undefined;
    if (id !== undefined) {
      const isNew = !this._address._hub || isAfter(id, this._lastId);
      if (isNew) this._lastId = id;
      else if (!isControl(item)) return;
    }
    if (this._filter(item)) this._on._item(item);
  }

  /** Reads pages from where it stands until they meet what the stream has brought, or there are no more. */
  private _catchUp(): void {
    this._wait();
    this._phase = Phase.CatchingUp;
    this._keepAnew();
    this._isFresh = true;
    const link: Link = new Link(this._address, this._settings, [PAGE], false, {
      _opened() {},
      _lost() {},
      _failed: (status) => this._on._failed(status),
      _items: (items, isTail) => {
        for (const item of items) {
          this._take(item);
          // A listener may have closed the source, or changed its topics: then all is done anew.
          if (this._link !== link) return;
        }
        const kept = this._kept;
        if (!(isTail && this._isFresh) && (!kept[0] || isAfter(kept[0].at, this._lastId))) {
          this._isFresh = true;
          return;
        }
        this._wait();
        this._phase = Phase.Live;
        for (const item of kept) this._next(item);
      },
    });
    this._link = link;
    link._start(this._topics, this._lastId);
  }
}
