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

/** Waiting: the stream does not run, or not for all its topics. Catching up: what comes is kept until what was is read. */
type Phase = "waiting" | "catching up" | "live";

export class Member {
  _phase: Phase = "waiting";
  _lastId: string | undefined;
  _topics: string[];
  /** Set by the group that it joins. */
  _group!: Group;
  private _filter: ((item: Item) => boolean) | undefined;
  private _kept: Item[] = [];
  private _link: Link | undefined;

  constructor(
    readonly _address: Address,
    readonly _settings: Settings,
    readonly _on: MemberListener,
  ) {
    this._lastId = _address._lastEventId;
    this._topics = _address._topics;
    this._filter = filterOf(this._topics);
  }

  _ask(topics: string[]): void {
    this._topics = topics;
    this._filter = filterOf(topics);
    this._wait();
  }

  _wait(): void {
    this._link?._stop();
    this._link = undefined;
    this._kept = [];
    this._phase = "waiting";
  }

  /** A stream that others read too runs with all its topics, after this id; `follows` if it goes on where this tab was. */
  _join(from: string | undefined, follows: boolean, isNew: boolean): void {
    if (follows && (this._phase === "live" || (this._phase === "catching up" && !isNew))) return this._on._opened();
    const isFresh = this._lastId === undefined && !this._address._since;
    if (isFresh || (this._lastId !== undefined && this._lastId === from)) return this._begin(from);
    this._catchUp();
    this._on._opened();
  }

  /** Reads the stream from its start. */
  _begin(from: string | undefined): void {
    this._wait();
    this._phase = "live";
    this._lastId = from;
    this._on._opened();
  }

  /** The next of the stream. */
  _next(item: Item): void {
    if (this._phase === "live") this._take(item);
    else if (this._phase === "catching up" && !isControl(item)) this._kept.push(item);
  }

  private _take(item: Item): void {
    if (item.id !== undefined) this._lastId = item.id;
    if (!this._filter || this._filter(item)) this._on._item(item);
  }

  /** Reads pages from where it stands until one has something of what is kept, or there are no more. */
  _catchUp(): void {
    this._wait();
    this._phase = "catching up";
    const link: Link = new Link(this._address, this._settings, [PAGE], false, {
      _opened() {},
      _lost() {},
      _failed: (status) => this._on._failed(status),
      _items: (items, isTail) => {
        let isMet = isTail;
        for (const item of items) {
          this._take(item);
          // A listener may have closed the source, or changed its topics: then all is done anew.
          if (this._link !== link) return;
          const at = isControl(item) ? -1 : this._kept.map(({ id }) => id).indexOf(item.id);
          if (at < 0) continue;
          this._kept.splice(at, 1);
          isMet = true;
        }
        if (isMet) this._meet();
      },
    });
    this._link = link;
    link._start(this._topics, this._lastId);
  }

  private _meet(): void {
    const kept = this._kept;
    this._wait();
    this._phase = "live";
    for (const item of kept) if (this._phase === "live") this._take(item);
  }
}
