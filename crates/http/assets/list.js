// The list of events: the newest rows only, drawn at most once a frame, however many arrive.

const ROWS_MAX = 500;
const ROW_CHARS_MAX = 10_000;
const SAVED_CHARS_MAX = 1_500_000;

const element = (id) => document.getElementById(id);

export class EventList {
  #waiting = [];
  #rows = [];
  #isScheduled = false;
  count = 0;
  hidden = 0;

  add(row) {
    if (!row.isControl) this.count++;
    this.#waiting.push(row);
    // A hidden tab has no frames: what could never be shown is not kept for it either.
    if (this.#waiting.length > 2 * ROWS_MAX) this.hidden += this.#waiting.splice(0, ROWS_MAX).length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.#isScheduled = false;
    const list = element("events");
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const all = this.#rows.concat(this.#waiting);
    const kept = all.slice(-ROWS_MAX);
    this.hidden += all.length - kept.length;
    const fresh = this.#waiting.slice(-ROWS_MAX);
    for (let left = this.#rows.length + fresh.length - kept.length; left > 0; left--) list.firstChild.remove();
    list.append(...fresh.map(rowElement));
    [this.#rows, this.#waiting] = [kept, []];
    if (isAtEnd) list.scrollTop = list.scrollHeight;
    this.#showCounts();
  }

  clear() {
    [this.#rows, this.#waiting, this.count, this.hidden] = [[], [], 0, 0];
    element("events").replaceChildren();
    this.#showCounts();
  }

  /** The newest rows that fit into what a browser lets a page keep. */
  saved() {
    let chars = 0;
    const from = this.#rows.findLastIndex((row) => (chars += row.data.length + 200) > SAVED_CHARS_MAX) + 1;
    return { rows: this.#rows.slice(from), count: this.count, hidden: this.hidden + from };
  }

  restore({ rows, count, hidden }) {
    this.clear();
    [this.#waiting, this.count, this.hidden] = [rows, count, hidden];
    this.flush();
  }

  #showCounts() {
    element("count").textContent = this.count.toLocaleString("en");
    const note = element("hidden-count");
    note.hidden = this.hidden === 0;
    note.textContent = `${this.hidden.toLocaleString("en")} earlier not shown`;
    note.dataset.count = this.hidden;
  }
}

export function rowOf({ type, data, id }, topic) {
  const isControl = type.startsWith("tidewire.");
  const isCut = data.length > ROW_CHARS_MAX;
  const shown = isCut ? `${data.slice(0, ROW_CHARS_MAX)} ... (${data.length} characters in all)` : data;
  return { type, id, topic, isControl, at: Date.now(), data: type === "tidewire.gap" ? gapWords(data) : shown };
}

function gapWords(data) {
  try {
    const { asked, oldest, newest, reason } = JSON.parse(data);
    return `GAP: events are missing here (${reason}). Asked for after ${asked}; the stream goes on after ${oldest}, the newest is ${newest}.`;
  } catch {
    return `GAP: events are missing here. ${data}`;
  }
}

function rowElement(row) {
  const item = document.createElement("li");
  Object.assign(item.dataset, { type: row.type, topic: row.topic });
  if (row.id !== undefined) item.dataset.id = row.id;
  if (row.isControl) item.classList.add("control");
  if (row.type === "tidewire.gap") item.classList.add("gap");
  const of = textElement("span", "of", row.id ?? "");
  if (row.type !== "message") of.prepend(textElement("b", "type", row.type), " ");
  item.append(timeElement(row.at), textElement("span", "data", row.data), of);
  return item;
}

function textElement(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function timeElement(at) {
  const when = new Date(at);
  const node = textElement("time", "at", when.toTimeString().slice(0, 8));
  node.dateTime = when.toISOString();
  return node;
}
