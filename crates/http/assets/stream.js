// Reads an event stream with fetch: every event of every type, reconnecting and going on after the last event id.
//
// EventSource does the same, but tells a page only of the types that it has named beforehand.

const RETRY_MS_DEFAULT = 500;
const RETRY_MS_MAX = 10_000;
const UNREACHABLE =
  "The hub does not answer. Is it running? This page tries again by itself, and goes on where it was.";

/** Takes textin pieces, however it was cut, and hands on each event, and the last event id as it stands. */
export class StreamParser {
  #line = "";
  #endsWithCr = false;
  #type = "";
  #data = [];
  #id;
  #lastId;

  /** `onEvent({type, data, id})`: `id` is the event's own, or undefined; `onRetry(ms)`; `onId(lastEventId)` at every block's end. */
  constructor(lastId, { onEvent, onRetry, onId }) {
    this.#lastId = lastId;
    Object.assign(this, { onEvent, onRetry, onId });
  }

  push(text) {
    // A CR at the end of the last piece and a LF at the start of this one are one line end.
    if (text === "") return;
    if (this.#endsWithCr && text.startsWith("\n")) text = text.slice(1);
    this.#endsWithCr = text.endsWith("\r");
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop();
    for (const line of lines) this.#take(line);
  }

  #take(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) [this.#id, this.#lastId] = [value, value];
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.onRetry(Number(value));
  }

  #dispatch() {
    const [type, data, id] = [this.#type || "message", this.#data, this.#id];
    [this.#type, this.#data, this.#id] = ["", [], undefined];
    this.onId(this.#lastId);
    if (data.length > 0) this.onEvent({ type, data: data.join("\n"), id });
  }
}

/** Why the hub refused: what its problem document says, or else the status; and whether another token could help. */
export async function refusalOf(response) {
  const isOfToken = response.status === 401 || (response.status === 403 && response.headers.has("WWW-Authenticate"));
  return { words: await wordsOf(response), isOfToken };
}

async function wordsOf(response) {
  const text = await response.text().catch(() => "");
  try {
    const problem = JSON.parse(text);
    return problem.detail || problem.title || `status ${response.status}`;
  } catch {
    return `status ${response.status} ${text.slice(0, 200)}`.trim();
  }
}

/** Reads one stream for as long as it is wanted: reconnects with a growing pause and goes on after the last event id. */
export class Subscription {
  #abort = new AbortController();
  #retryMs = RETRY_MS_DEFAULT;
  #failures = 0;

  /** `headers` go with every request; `onState(state, words, {pauseMs, isOfToken})`. */
  constructor(url, lastId, { headers, onState, onEvent, onId }) {
    Object.assign(this, { url, lastId, headers, onState, onEvent, onId });
  }

  async run() {
    while (!this.#abort.signal.aborted) {
      const refusal = await this.#readOnce().catch(cutOff);
      if (this.#abort.signal.aborted) return;
      if (refusal?.isFinal) return this.onState("refused", refusal.words, refusal);
      const pauseMs = this.#pause(refusal);
      this.onState("waiting", refusal?.words, { pauseMs });
      await new Promise((wake) => setTimeout(wake, pauseMs));
    }
  }

  stop() {
    this.#abort.abort();
  }

  /** Grows while nothing succeeds, and is never the same for two pages: a hub that comes back is not hit by all at once. */
  #pause(refusal) {
    if (refusal?.retryAfterMs) return refusal.retryAfterMs;
    const grown = Math.min(this.#retryMs * 2 ** this.#failures++, Math.max(RETRY_MS_MAX, this.#retryMs));
    return grown * (0.75 + Math.random() / 4);
  }

  async #readOnce() {
    this.onState("connecting");
    const headers = { ...this.headers, Accept: "text/event-stream" };
    if (this.lastId) headers["Last-Event-ID"] = asHeader(this.lastId);
    // The header wins over the start in the URL, so the URL can stay what it was.
    const response = await fetch(this.url, { headers, cache: "no-store", signal: this.#abort.signal });
    if (response.status === 204) return { isFinal: true, words: "The hub says that there is nothing more to come." };
    if (!response.ok) return this.#refusal(response);
    this.onState("open");
    await this.#readBody(response.body);
  }

  async #refusal(response) {
    const seconds = Number(response.headers.get("Retry-After"));
    const isTemporary = response.status === 429 || response.status >= 500;
    return { isFinal: !isTemporary, ...(await refusalOf(response)), retryAfterMs: seconds * 1_000 };
  }

  async #readBody(body) {
    const parser = new StreamParser(this.lastId, {
      onRetry: (ms) => { this.#retryMs = ms; },
      onId: (id) => {
        this.#failures = 0;
        if (id !== this.lastId) this.onId(this.lastId = id);
      },
      onEvent: this.onEvent,
    });
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done || this.#abort.signal.aborted) return;
      parser.push(value);
    }
  }
}

/** What a failed fetch means; anything else is a fault of this page and stays one. */
function cutOff(error) {
  if (error instanceof TypeError || error.name === "AbortError") return { words: UNREACHABLE };
  throw error;
}

/** A header carries bytes: an id beyond ASCII goes as its UTF-8, as EventSource does it. */
const asHeader = (text) => String.fromCharCode(...new TextEncoder().encode(text));
