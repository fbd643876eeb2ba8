// One who reads along: which events of the stream it asked for, how far it has come, and how it catches up where the stream
// has begun without it.

import { Address, filterOf } from "./address";
import type { Group } from "./group";
import { Item, isControl } from "./item";
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

/** A stream is not further behind the pages: its connection would have been given up. */
const BEHIND_MS = 60_000;

/** Waiting: the stream does not run, or not for all its topics. Catching up: what comes is kept until what was is read. */
const enum Phase {
  Waiting,
  CatchingUp,
  Live,
}

export class Member {
  private _phase = Phase.Waiting;
  _lastId: string | undefined;
  _topics!: string[];
  /** Set by the group that it joins. */
  _group!: Group;
  private _filter!: (item: Item) => boolean;
  private _kept: Item[] = [];
  /** Ids read from pages. Pages may be ahead of the stream, which brings the same events later, through another tab. */
  private _paged: string[] = [];
  private _pagedMs = 0;
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
    this._kept = [];
    this._phase = Phase.Waiting;
  }

  /** A stream that others read too runs with all its topics, after this id; `follows` if it goes on where this tab was. */
  _join(from: string | undefined, follows: boolean, isNew: boolean): void {
    if (follows && (this._phase === Phase.Live || (this._phase === Phase.CatchingUp && !isNew))) return this._on._opened();
    const isFresh = this._lastId === undefined && !this._address._since;
    if (isFresh || (this._lastId !== undefined && this._lastId === from)) return this._begin(from);
    this._catchUp();
    this._on._opened();
  }

  /** A word of the stream was missed. */
  _missed(): void {
    if (this._phase === Phase.Live) this._catchUp();
  }

  /** Reads the stream from its start. */
  _begin(from: string | undefined): void {
    this._wait();
    this._phase = Phase.Live;
    this._lastId = from;
    this._on._opened();
  }

  /** The next of the stream. */
  _next(item: Item): void {
    if (this._phase === Phase.CatchingUp) this._kept.push(item);
    if (this._phase !== Phase.Live) return;
    if (Date.now() - this._pagedMs > BEHIND_MS) this._paged = [];
    if (this._paged.length) {
      // The stream may be behind the pages: what is not for this reader moves its cursor later.
      if (isControl(item) || !this._filter(item)) return this._take({ ...item, id: undefined });
      const at = this._paged.indexOf(item.id!);
      // Both are in the order of the log, so that what is before it in the pages has come before.
      if (at >= 0) return void this._paged.splice(0, at + 1);
      this._paged = [];
    }
    this._take(item);
  }

  private _take(item: Item): void {
    if (item.id !== undefined) this._lastId = item.id;
    if (this._filter(item)) this._on._item(item);
  }

  /** Reads pages from where it stands until one has something of what is kept, or there are no more. */
  private _catchUp(): void {
    this._wait();
    this._phase = Phase.CatchingUp;
    const link: Link = new Link(this._address, this._settings, [PAGE], false, {
      _opened() {},
      _lost() {},
      _failed: (status) => this._on._failed(status),
      _items: (items, isTail) => {
        const kept = this._kept.map(({ id }) => id);
        let isMet = isTail;
        for (const item of items) {
          if (!isControl(item)) this._paged.push(item.id!);
          if (kept.indexOf(item.id) >= 0) isMet = true;
          this._take(item);
          // A listener may have closed the source, or changed its topics: then all is done anew.
          if (this._link !== link) return;
        }
        this._pagedMs = Date.now();
        if (isMet) this._meet();
      },
    });
    this._link = link;
    link._start(this._topics, this._lastId);
  }

  private _meet(): void {
    const kept = this._kept;
    this._wait();
    this._phase = Phase.Live;
    for (const item of kept) this._next(item);
  }
}
