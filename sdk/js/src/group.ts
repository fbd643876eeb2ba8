// Those who read one stream: the members of this page, and through a crew those of all tabs. The tab that leads has the link;
// it says what comes, and every tab, itself too, hears the same words.
//
// Each event once and in order: events have places in the hub's log, and each member knows how far it has read. A stream that
// begins anew, after a cut or under another leader, says after which id; if that is further on than the tab has heard, its
// members catch up. Words are numbered within a leader's term: who misses one catches up as well, as does who comes later than
// the stream.

import { Address, addTo, containsAll } from "./address";
import { canShare, Crew, newCrew } from "./crew";
import { GAP, isAfter, Item } from "./item";
import { EVENT_STREAM, Link, NDJSON, PAGE } from "./link";
import { Member, Phase } from "./member";
import type { Settings } from "./settings";
import { isSeen, onWake } from "./wake";

/** New topics are gathered for so long before the stream begins anew with them; gone ones for longer. */
const GATHER_MS = 30;
const SHED_MS = 5_000;

/** What the leader says. `at` grows with every word that carries items. */
interface Open extends Dated {
  kind: "open";
  at: number;
  /** The id after which it goes on. */
  from: string | undefined;
  topics: string[];
  /** The stream has just begun; else it says how it stands, in answer or from time to time. */
  isNew: boolean;
}
interface Items extends Dated {
  kind: "items";
  at: number;
  items: Item[];
}
interface Pulse extends Dated {
  kind: "lost" | "beat";
  status?: number;
}
/** Its term grows with every leader; told with whatever one says. */
interface Dated {
  term?: number;
}
/** What a tab says of itself: nothing is wanted by one that is gone. */
interface Want {
  kind: "want";
  tab: string;
  topics: string[];
  isSeen?: boolean;
}
/** What a leader asks: who is there; that this one leads instead; that each reads for itself. */
interface Call {
  kind: "who" | "take" | "apart";
  tab?: string;
}
type Word = Open | Items | Pulse | Want | Call;

/** The groups of this page that others may join, by name. */
const groups: { [name: string]: Group } = {};
/** Names whose readers are better each on their own. */
const apart: { [name: string]: boolean } = {};

/** Joins the group of that name, or makes one of its own. */
export function join(member: Member, name: string | undefined): void {
  const isShared = name !== undefined && !apart[name] && canShare();
  const group = (isShared && groups[name]) || new Group(member._address, member._settings, isShared ? name : undefined);
  group._add(member);
}

export class Group {
  private _members: Member[] = [];
  private _crew: Crew | undefined;
  private _link: Link | undefined;
  private _forget: () => void;
  private _pulse: any;
  private _gather: any;
  /** What the link was started with. */
  private _asked: string[] | undefined;
  /** The other tabs, as this leader knows them. */
  private _others!: { [tab: string]: Want };

  // What the last words said.
  private _term = 0;
  private _at!: number;
  private _isOpen!: boolean;

  // How far this tab has read.
  private _lastId: string | undefined;

  private _heardMs!: number;
  private _toldMs!: number;
  private _wantedMs = 0;
  private _seenMs = Date.now();

  constructor(
    private _address: Address,
    private _settings: Settings,
    private _name: string | undefined,
  ) {
    if (_name !== undefined) groups[_name] = this;
    this._forget = onWake({
      _wake: () => this._wake(),
      _sleep: () => this._sleep(),
      _online: () => this._link?._revive(),
      _seen: () => {
        this._want();
        this._link?._look();
      },
    });
    this._wake();
  }

  _add(member: Member): void {
    member._group = this;
    this._members.push(member);
    this._want();
  }

  _remove(member: Member): void {
    member._wait();
    this._members = this._members.filter((other) => other !== member);
    if (this._members.length) return this._want();
    this._sleep();
    this._forget();
    if (groups[this._name!] === this) delete groups[this._name!];
  }

  /** Whom a listener removes meanwhile is still called, and minds it itself. */
  private _each(then: (member: Member) => void): void {
    this._members.slice().forEach(then);
  }

  /** Of this tab. */
  private _topics(): string[] {
    return this._members.reduce((topics: string[], member) => addTo(topics, member._topics), []);
  }

  /** What this tab's readers ask for has changed, or it is not known how the stream stands. */
  _want(): void {
    if (this._link) return this._fit();
    if (!this._crew?._isReady) return;
    this._wantedMs = Date.now();
    this._crew._say({ kind: "want", tab: this._crew._tab, topics: this._topics(), isSeen: isSeen() });
  }

  private _wake(): void {
    if (this._pulse) return;
    this._pulse = setInterval(() => this._beat(), this._settings.beatMs);
    this._heardMs = Date.now();
    if (this._name === undefined) return this._lead();
    // Where the others are by now is not known, nor how far what was read lies back.
    this._lastId = undefined;
    this._crew = newCrew(this._name, {
      _ready: () => this._want(),
      _word: (word) => this._hear(word),
      _lead: () => this._lead(),
      _demoted: () => this._follow(),
    });
  }

  private _sleep(): void {
    if (!this._pulse) return;
    clearInterval(this._pulse);
    this._pulse = undefined;
    this._follow();
    // Whoever leads mourns, whatever ends a tab's part.
    this._crew?._leave();
    this._crew = undefined;
    this._each((member) => {
      member._wait();
      member._on._lost(-1);
    });
  }

  // The leader's part.

  private _lead(): void {
    const { _hub: hub } = this._address;
    this._term = Math.max(this._term + 1, Date.now());
    this._at = 0;
    this._isOpen = false;
    this._others = {};
    this._asked = undefined;
    // Events for several readers must tell their topics. Each of many reads history from where it likes by itself.
    const forms = this._crew ? [NDJSON, PAGE] : hub ? [EVENT_STREAM, NDJSON, PAGE] : [EVENT_STREAM];
    const address = this._crew ? { ...this._address, _since: undefined } : this._address;
    this._link = new Link(address, this._settings, forms, true, {
      _opened: (from, tellsTopics) => {
        if (this._crew && !tellsTopics) return this._part();
        this._sayOpen(from, true);
      },
      _items: (items) => this._say({ kind: "items", at: this._at + 1, items }),
      _lost: (status) => this._say({ kind: "lost", status }),
      _failed: (status) => this._failed(status),
    });
    this._crew?._say({ kind: "who" });
    this._fit();
  }

  private _follow(): void {
    clearTimeout(this._gather);
    this._link?._stop();
    this._link = undefined;
  }

  /** Makes the stream fit what all ask for: at once if something is missing, later if something is too much. */
  private _fit(): void {
    let topics = this._topics();
    for (const tab in this._others) topics = addTo(topics, this._others[tab].topics);
    const isMissing = !this._asked || !containsAll(this._asked, topics);
    clearTimeout(this._gather);
    if (isMissing || !containsAll(topics, this._asked!)) {
      this._gather = setTimeout(() => this._begin(topics), !isMissing ? SHED_MS : this._crew ? GATHER_MS : 0);
    }
    this._tell();
  }

  /** Says how the stream stands: who has missed a word learns of it. */
  private _tell(): void {
    this._toldMs = Date.now();
    if (this._isOpen) this._sayOpen(this._lastId, false);
    else this._say({ kind: "beat" });
  }

  private _begin(topics: string[]): void {
    this._asked = topics;
    // Who reads alone has only its own cursor.
    this._link?._start(topics, this._crew ? this._lastId : this._members[0]._lastId);
  }

  private _sayOpen(from: string | undefined, isNew: boolean): void {
    this._say({ kind: "open", at: this._at, from, topics: this._asked!, isNew });
  }

  private _say(word: Open | Items | Pulse | Call): void {
    (word as Dated).term = this._term;
    this._crew?._say(word);
    this._hear(word);
  }

  /** A refusal may be meant for one of many only: each asks for itself, and is answered for itself. */
  private _failed(status: number): void {
    if (this._crew && this._address._hub) return this._part();
    this._each(({ _on: on }) => on._failed(status));
  }

  private _part(): void {
    this._say({ kind: "apart" });
  }

  // What a tab hears, the leader from itself.

  private _hear(word: Word): void {
    switch (word.kind) {
      case "open":
        return this._hearOpen(word);
      case "items":
        return this._hearItems(word);
      case "lost":
      case "beat":
        if (!this._isCurrent(word) || word.kind === "beat") return;
        this._isOpen = false;
        return this._each(({ _on: on }) => on._lost(word.status!));
      case "want":
        if (!this._link) return;
        if (!this._others[word.tab]) this._crew!._mourn(word.tab, () => this._hear({ kind: "want", tab: word.tab, topics: [] }));
        this._others[word.tab] = word;
        return this._fit();
      case "who":
        return this._want();
      case "take":
        if (word.tab === this._crew!._tab) this._crew!._claim(true);
        return;
      case "apart":
        apart[this._name!] = true;
        this._each((member) => {
          this._remove(member);
          join(member, undefined);
        });
    }
  }

  /** Whether it comes from the leader of now; a later one than we knew makes us ask. */
  private _isCurrent({ term }: Dated): boolean {
    if (term! < this._term) return false;
    this._heardMs = Date.now();
    if (term === this._term) return true;
    this._follow();
    if (this._heardMs - this._wantedMs > GATHER_MS) this._want();
    return false;
  }

  private _hearOpen(word: Open): void {
    const { topics } = word;
    const term = word.term!;
    if (term < this._term) return;
    if (term > this._term) this._follow();
    const isNew = word.isNew || term > this._term;
    // A stream that begins further back brings again what was read; nothing is missed.
    const follows = isNew ? word.from === this._lastId || !isAfter(word.from, this._lastId) : word.at === this._at;
    // Who has heard the same words may have heard more than the leader when it said this in the midst of one.
    const from = follows && !isNew ? this._lastId : word.from;
    this._lastId = from;
    this._heardMs = Date.now();
    this._term = term;
    this._at = word.at;
    this._isOpen = true;
    this._each((member) => {
      if (!containsAll(topics, member._topics)) member._wait();
      else if (this._crew) member._join(from, follows, isNew);
      else member._begin(from);
    });
  }

  private _hearItems(word: Items): void {
    if (!this._isCurrent(word)) return;
    // A word was missed.
    if (word.at !== this._at + 1) this._each((member) => member._missed());
    this._at = word.at;
    for (const item of word.items) {
      if (item.type === GAP) this._lastId = undefined;
      if (item.at !== undefined && isAfter(item.at, this._lastId)) this._lastId = item.at;
      this._each((member) => member._next(item));
    }
  }

  /** From time to time: the leader shows that it lives, the others look whether it does. */
  private _beat(): void {
    const { beatMs, hiddenMs } = this._settings;
    const now = Date.now();
    if (isSeen()) this._seenMs = now;
    if (!this._crew) return;
    if (!this._link) {
      if (this._wantedMs > this._heardMs && now - this._wantedMs > beatMs) {
        this._wantedMs = now;
        this._crew._claim(true);
      } else if (now - this._heardMs > 2 * beatMs || this._members.some((member) => member._phase === Phase.Waiting)) {
        // The leader is silent, or has not heard what this tab wants.
        this._want();
      }
      return;
    }
    if (now - this._toldMs >= beatMs / 2) this._tell();
    if (now - this._seenMs < hiddenMs) return;
    for (const tab in this._others) {
      if (this._others[tab].isSeen) {
        this._seenMs = now;
        this._crew._say({ kind: "take", tab });
        return;
      }
    }
  }
}
