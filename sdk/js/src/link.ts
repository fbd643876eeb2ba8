// Keeps one stream running: asks, reads, notices silence, waits, asks again after the last id. It knows nothing of who reads.

import type { Address } from "./address";
import { pauseMs, retryAfterMs } from "./backoff";
import { cursor } from "./cursor";
import { GAP, Item, PLACE, isControl } from "./item";
import { lineReader } from "./ndjson";
import { Reader, streamReader } from "./parser";
import type { Settings, TokenReason } from "./settings";
import { promised } from "./target";
import { send } from "./wire";

/** Forms of a stream, as Accept names them. */
export const EVENT_STREAM = "text/event-stream";
export const NDJSON = "application/x-ndjson";
export const PAGE = "application/json";

/** How long the hub may hold an empty page back, in seconds. */
const POLL_S = 20;
/** An empty page that comes sooner was not held back at all. */
const POLL_MS_MIN = 1_000;
/** After so long a stream is tried again where only pages came through: events wait for `openMs` then. */
const POLLING_MS = 3_600_000;
/** A connection that lived so long was a good one. */
const GOOD_MS = 5_000;
/** A timer that is so late has slept with the machine. */
const LATE_MS = 30_000;
/** So many tokens in a row may be refused. */
const REFUSED_MAX = 3;

export interface LinkListener {
  /** The stream runs, after this id; `tellsTopics` if its events do. */
  _opened(from: string | undefined, tellsTopics: boolean): void;
  /** In order. `isTail` if they are a page's that says that there is no more for now. */
  _items(items: Item[], isTail: boolean): void;
  /** The stream was lost; it will be tried again. */
  _lost(status: number): void;
  /** The server does not want us: no more attempts. */
  _failed(status: number): void;
}

export class Link {
  _lastId: string | undefined;
  private _isOpen!: boolean;
  private _topics!: string[];
  private _abort: (() => void) | undefined;
  private _timer: any;
  private _pulse: any;
  private _failures = 0;
  private _retryMs = 0;
  /** Which of the forms is tried, and since when. The next page of this tab begins with the one that came through. */
  private _formKey = this._forms + this._address._base;
  private _form = +cursor(this._formKey)! || 0;
  private _formMs = Date.now();
  private _token: string | undefined;
  private _refused = 0;
  private _heardMs!: number;
  /** Counts attempts: what comes of an earlier one is not heard. */
  private _attempt = 0;

  /** `polls` is false for who wants to know what there is, and not what comes. */
  constructor(
    private _address: Address,
    private _settings: Settings,
    private _forms: string[],
    private _polls: boolean,
    private _on: LinkListener,
  ) {}

  /** Begins, or begins anew, with these topics, after this id. */
  _start(topics: string[], lastId: string | undefined): void {
    this._topics = topics;
    this._lastId = lastId;
    if (!this._pulse) this._watch();
    this._connect();
  }

  _stop(): void {
    this._drop();
    clearInterval(this._pulse);
    this._pulse = undefined;
  }

  /** The network is back, or the page: a pause ends, and a stream that may be dead begins anew. */
  _revive(): void {
    if (!this._pulse) return;
    this._form = this._failures = 0;
    this._connect();
  }

  /** Is the stream silent for too long? Compares times, for the timers of a hidden page come when they like. */
  _look(): void {
    const waitMs = this._forms[this._form] === PAGE ? POLL_S * 1_000 : 0;
    if (this._isOpen && Date.now() - this._heardMs > this._settings.silenceMs + waitMs) this._lose();
  }

  private _watch(): void {
    const everyMs = Math.min(this._settings.silenceMs / 4, 5_000);
    let tickMs = Date.now();
    this._pulse = setInterval(() => {
      const isLate = Date.now() - tickMs > everyMs + LATE_MS;
      tickMs = Date.now();
      if (isLate) this._revive();
      else this._look();
    }, everyMs);
  }

  private _drop(): void {
    this._attempt++;
    this._isOpen = false;
    clearTimeout(this._timer);
    this._abort?.();
    this._abort = undefined;
  }

  private _connect(): void {
    this._drop();
    if (!this._settings.token || this._token !== undefined) return this._ask();
    this._obtain(this._refused ? "refused" : "open", () => this._ask());
  }

  /**
   * Asks the page for a token. `then` is not called if it gives none, nor if the attempt was given up meanwhile. A page that
   * fails to get one may get one later, unless its error says `final`.
   */
  private _obtain(why: TokenReason, then: () => void): void {
    const attempt = this._attempt;
    const isOver = () => attempt !== this._attempt;
    const give = (token: string) => {
      if (isOver() || (why === "expiring" && token === this._token)) return;
      this._token = token || "";
      then();
    };
    const fail = (error: any) => {
      if (isOver()) return;
      if (error?.final) this._fail(0);
      else if (why !== "expiring") this._lose();
    };
    promised(() => this._settings.token!(why), give, fail);
  }

  private _ask(): void {
    const attempt = this._attempt;
    const isOver = () => attempt !== this._attempt;
    const { _hub: hub } = this._address;
    const { openMs, withCredentials } = this._settings;
    const form = this._forms[this._form];
    const waits = form === PAGE && this._polls && this._isOpen;
    const askedMs = Date.now();
    let type: string;
    let reader: Reader;
    let gap: string | null;
    const taken: Item[] = [];

    const take = (item: Item) => {
      // Tidewire-Gap tells a gap also where the stream itself does not.
      if (gap && item.type !== "tidewire.open") {
        if (item.type !== GAP) taken.push({ type: GAP, data: JSON.stringify({ reason: gap }) });
        gap = null;
      }
      // A place without its life is of the one that the stream was in.
      const place = PLACE.exec(this._lastId!);
      item.at = item.position && place ? "#" + place[1] + "-" + item.position : item.id;
      this._lastId = item.at ?? this._lastId;
      taken.push(item);
    };

    if (hub) this._timer = setTimeout(() => this._stuck(), openMs + (waits ? POLL_S * 1_000 : 0));
    this._abort = send({ _url: this._url(form, waits), _headers: this._headers(form), _withCredentials: withCredentials }, {
      _head: (status, header) => {
        if (isOver()) return;
        this._heardMs = Date.now();
        // 9.2.2: "if res's status is not 200, then fail the connection".
        if (status !== 200) return this._judge(status, retryAfterMs(header("Retry-After"), Date.now()));
        type = (header("Content-Type") || "").split(";")[0].trim().toLowerCase();
        // 9.2.2: "or if res's Content-Type is not text/event-stream, then fail the connection".
        if (type === EVENT_STREAM) reader = streamReader(take, (ms) => (this._retryMs = ms));
        else if (type === form) reader = lineReader(take);
        else return this._fail(status);
        gap = header("Tidewire-Gap");
        // A hub's first bytes follow at once, unless a proxy holds them; others may be silent for long.
        if (!hub) this._opened(type, this._lastId);
      },
      _text: (piece) => {
        if (isOver()) return;
        this._heardMs = Date.now();
        const before = this._lastId;
        try {
          reader.push(piece);
        } catch (_) {
          return this._lose();
        }
        // Who had no id yet goes on after that of the hub's first word.
        this._opened(type, before ?? taken[0]?.id);
        if (isOver()) return;
        if (type !== PAGE) this._tell(taken.splice(0), false);
      },
      _end: () => {
        if (isOver()) return;
        if (type === PAGE && taken.length) return this._turn(taken, waits, Date.now() - askedMs);
        // 9.2.2: at the end of the body, as after a network error, "reestablish the connection". What is unfinished then is not
        // dispatched (9.2.6).
        if (this._isOpen && Date.now() - askedMs > GOOD_MS) this._failures = 0;
        this._lose();
      },
    });
  }

  private _url(form: string, waits: boolean): string {
    const { _hub: hub, _base: base, _rest: rest, _since: since } = this._address;
    if (!hub) return base;
    const query = this._topics.concat(rest);
    if (!this._lastId && since) query.push("since=" + encodeURIComponent(since));
    // Whoever reads it takes a checkpoint for what it is; a stream that opens with one has a cursor before its first event.
    if (form !== PAGE) query.push("checkpoint=event");
    if (waits) query.push("wait=" + POLL_S + "s");
    return base + "?" + query.join("&");
  }

  private _headers(form: string): { [name: string]: string } {
    const headers: { [name: string]: string } = { Accept: form };
    // 9.2.3: "If the event source's last event ID string is not the empty string: let lastEventIDValue be [it], encoded as
    // UTF-8". A header takes bytes.
    if (this._lastId) headers["Last-Event-ID"] = unescape(encodeURIComponent(this._lastId));
    if (this._token) headers.Authorization = "Bearer " + this._token;
    return headers;
  }

  private _opened(type: string, from: string | undefined): void {
    clearTimeout(this._timer);
    this._refused = 0;
    if (this._isOpen) return;
    this._isOpen = true;
    if (this._forms[1]) cursor(this._formKey, "" + this._form);
    this._on._opened(from, type !== EVENT_STREAM);
  }

  private _tell(items: Item[], isTail: boolean): void {
    if (!items.length) return;
    const attempt = this._attempt;
    if (!items.every(isControl)) this._failures = 0;
    this._on._items(items, isTail);
    if (attempt === this._attempt && items.some((item) => item.type === "tidewire.expiring") && this._settings.token) {
      this._obtain("expiring", () => this._connect());
    }
  }

  /** A page was read: the next one. */
  private _turn(items: Item[], waited: boolean, tookMs: number): void {
    const attempt = this._attempt;
    const isTail = items.length === 1;
    this._tell(items, isTail);
    if (attempt !== this._attempt) return;
    if (this._polls && this._forms.length > 1 && Date.now() - this._formMs > POLLING_MS) return this._revive();
    const isHasty = isTail && waited && tookMs < POLL_MS_MIN;
    this._attempt++;
    this._timer = setTimeout(() => this._ask(), isHasty ? this._pauseMs(0) : 0);
  }

  /** Nothing came of a form in time: the next one, for a proxy may hold this one back. */
  private _stuck(): void {
    this._formMs = Date.now();
    if (++this._form < this._forms.length) return this._connect();
    this._form = 0;
    this._lose();
  }

  private _judge(status: number, afterMs: number): void {
    const isRefused = this._settings.token && (status === 401 || status === 403) && ++this._refused <= REFUSED_MAX;
    if (isRefused) this._token = undefined;
    // The first token may just have been too old.
    if (isRefused && this._refused < 2) this._connect();
    // 9.2.2 fails the connection on any of these: but a proxy answers so while a server starts anew.
    else if (isRefused || status === 429 || status >= 500) this._lose(status, afterMs);
    // 9.2.2: "HTTP 204 No Content": the server's way to stop us.
    else this._fail(status);
  }

  private _fail(status: number): void {
    this._stop();
    this._on._failed(status);
  }

  /** 9.2.3: "reestablish the connection". */
  private _lose(status = 0, askedMs = 0): void {
    this._drop();
    this._timer = setTimeout(() => this._connect(), this._pauseMs(askedMs));
    this._on._lost(status);
  }

  private _pauseMs(askedMs: number): number {
    const { backoffMs, backoffMaxMs } = this._settings;
    return pauseMs(this._failures++, backoffMs, backoffMaxMs, Math.max(askedMs, this._retryMs));
  }
}
