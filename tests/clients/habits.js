// What each client does when its connection ends in one way or another, and with odd events. It talks to the real hub; the road between
// them cuts, refuses, and stands in for a proxy.

import { pause, until } from "../e2e/hub.js";
import { NAMED_TYPE } from "./clients.js";
import { publish } from "./publish.js";
import { Road } from "./road.js";

/** Long enough for a client that does come back; one of which docs/clients.md says that it does not gets less. */
const PATIENCE_MS = 60_000;
const PATIENCE_IN_VAIN_MS = 8_000;
/** `retry` for a long and a short wait. With a jitter of half of it, the long one is still longer than twice the short one. */
const RETRY_MS = { long: 4_000, short: 100 };
/** How many streams an address may have at the hub that habits are tried with. */
export const STREAMS_PER_ADDRESS_MAX = 4;
/** How long nobody listens. */
const AWAY_MS = 3_000;

/** Data that is easily got wrong, by what a table calls it. A stream has one kind of line end: readers get LF. */
const ODD = [
  ["several lines", "one\ntwo\nthree"],
  ["an empty line in between", "one\n\nthree"],
  ["an empty first line", "\ntwo"],
  ["an empty last line", "one\n"],
  ["no data", ""],
  ["CR and CRLF", "one\rtwo\r\nthree", "one\ntwo\nthree"],
  ["U+2028", "one\u2028still one\u2029still one\u0085still one"],
  ["spaces", "  two before, one after "],
  ["looks like a field", "data: x\nid: y\n: z"],
  ["beyond ASCII", "naïve 🦀 \ufeff \"quoted\" \\"],
];
/** More than the 64 KiB that some readers have for a line. */
const LARGE = "x".repeat(100_000);

const isMine = ({ type }) => !type?.startsWith("tidewire.");

/** One client on one road to one hub. */
class Trial {
  constructor(t, client, hub, browser, wants) {
    Object.assign(this, { t, client, hub, browser, wants, topic: `habits/${client.name}`, marks: 0, published: [] });
  }

  async begin() {
    this.road = await Road.open(this.t, this.hub);
    await this.restart();
  }

  async restart() {
    if (this.run) await this.run.end();
    // Without checkpoints each heartbeat is a comment, also while other topics have events.
    const url = `${this.road.url}/topics/${encodeURIComponent(this.topic)}?checkpoint=off`;
    this.run = await this.client.start(this.t, url, { browser: this.browser });
    if (!await this.hears(PATIENCE_MS)) throw new Error(`${this.client.name} does not hear the hub: ${this.run.complaints}`);
  }

  async publish(data, query = "") {
    const id = await publish(this.hub, this.topic, data, { query });
    this.published.push(id);
    return id;
  }

  sees(id) {
    return this.run.seen.find((event) => event.id === id && isMine(event));
  }

  /** Whether it gets what is published from now on. */
  async hears(patienceMs) {
    const ids = [];
    const heard = await until("an event", async () => {
      if (this.run.isOver) return "over";
      ids.push(await this.publish(`mark ${this.marks += 1}`));
      await pause(100);
      return ids.some((id) => this.sees(id));
    }, patienceMs).catch(() => false);
    return heard === true;
  }

  patienceFor(habit) {
    return this.wants?.[habit] === "no" ? PATIENCE_IN_VAIN_MS : PATIENCE_MS;
  }

  /** Before each habit: one whose waits grow from outage to outage would need a minute for the last ones. */
  async refresh() {
    if (this.client.tires) await this.restart();
  }

  /** Whether it hears the hub again after `disturb`; if not, it is started anew for what comes next. */
  async comesBack(habit, disturb) {
    await this.refresh();
    await disturb();
    const isBack = await this.hears(this.patienceFor(habit));
    if (!isBack) await this.restart();
    return isBack;
  }

  async data() {
    const ids = [];
    for (const [, data] of ODD) ids.push(await this.publish(data));
    const named = await this.publish("of a type", `?type=${NAMED_TYPE}`);
    await this.hears(PATIENCE_MS);
    const wrong = ODD.filter(([, data, read = data], index) => this.sees(ids[index])?.data !== read).map(([what]) => what);
    return { data: wrong.length === 0 ? "yes" : `no: ${wrong.join(", ")}`, types: this.sees(named)?.type === NAMED_TYPE };
  }

  /** The shortest of a few waits before it comes back, in milliseconds. */
  async waits(end, retryMs) {
    const gaps = [];
    for (let round = 0; round < 2; round += 1) {
      const id = await this.publish("waits", `?retry=${retryMs}`);
      await until("the event that says how long to wait", () => this.sees(id), PATIENCE_MS);
      gaps.push(await this.road.gapMs(end, PATIENCE_MS, this.run));
      await this.hears(PATIENCE_MS);
    }
    this.gaps = [...(this.gaps ?? []), ...gaps];
    return Math.min(...gaps);
  }

  async honoursRetry(end) {
    await this.refresh();
    const long = await this.waits(end, RETRY_MS.long);
    const short = await this.waits(end, RETRY_MS.short);
    return long >= RETRY_MS.long / 2 - 50 && short < long / 2;
  }

  /** Whether it gets what is published while it has no connection. */
  async resumes(end) {
    await this.refresh();
    this.road.mood = "hold";
    const before = this.road.joins;
    end();
    const missed = await this.publish("missed");
    await until("the client to ask again", () => this.road.joins > before, PATIENCE_MS);
    this.road.release();
    await this.hears(PATIENCE_MS);
    return Boolean(this.sees(missed));
  }

  /** Whether an event that was cut in the middle is shown, whole, after the next connection. */
  async mendsTorn() {
    await this.refresh();
    const data = "the first half, the second half";
    this.road.tear = "the second half";
    const torn = await this.publish(data);
    await until("the cut", () => !this.road.tear, PATIENCE_MS);
    if (!await this.hears(PATIENCE_MS)) return false;
    return this.run.seen.filter(({ id }) => id === torn).at(-1)?.data === data;
  }

  async survivesRefusals() {
    return this.comesBack("absence", async () => {
      await this.road.refuse();
      await pause(AWAY_MS);
      await this.road.allow();
    });
  }

  /** Whether it comes back after an answer that stands in for the hub's. */
  async survives(habit, mood, end) {
    return this.comesBack(habit, async () => {
      this.road.mood = mood;
      await this.road.gapMs(end, PATIENCE_MS, this.run);
      // The answer is on its way, and whoever comes next is let through.
      this.road.mood = "pass";
    });
  }

  /** Whether it comes back after the hub itself refused it, because its address has too many streams. */
  async survivesLimit(end) {
    return this.comesBack("limit", async () => {
      this.road.mood = "hold";
      const before = this.road.joins;
      end();
      const giveBack = await this.road.occupy(STREAMS_PER_ADDRESS_MAX);
      await until("the client to ask again", () => this.road.joins > before, PATIENCE_MS);
      const { refusals } = this.road;
      this.road.release();
      await until("the refusal", () => this.road.refusals > refusals, PATIENCE_MS);
      giveBack();
    });
  }

  /** Those that it showed though nobody published them: a comment taken for an event, an event twice. */
  phantoms() {
    const known = new Set(this.published);
    const shown = this.run.seen.filter(isMine);
    return shown.filter(({ id }, index) => !known.has(id) || shown.findIndex((other) => other.id === id) !== index);
  }
}

/** What a client does, as the columns of docs/clients.md have it; `wants` is what they say. */
export async function habits(t, client, hub, browser, wants) {
  const trial = new Trial(t, client, hub, browser, wants);
  await trial.begin();
  const found = await trial.data();
  if (client.framing !== "TLS") {
    const before = trial.road.comments;
    await until("comments", () => trial.road.comments > before + 1, PATIENCE_MS);
  }
  found.phantoms = trial.phantoms();
  const cut = () => trial.road.cut();
  const finish = () => trial.road.finish();
  found.cut = await trial.comesBack("cut", cut);
  found.end = client.framing ? undefined : await trial.comesBack("end", finish);
  const end = found.cut ? cut : finish;
  if (found.cut || found.end) {
    found.retry = await trial.honoursRetry(end);
    found.resumes = await trial.resumes(end);
  }
  if (found.cut && client.framing !== "TLS") found.torn = await trial.mendsTorn();
  found.absence = await trial.survivesRefusals();
  if (!client.framing) {
    found.badGateway = await trial.survives("badGateway", "bad gateway", end);
    found.limit = found.cut ? await trial.survivesLimit(end) : undefined;
    found.wait = await trial.survives("wait", "wait", end);
  }
  const large = await trial.publish(LARGE);
  found.large = Boolean(await until("a large event", () => trial.sees(large), trial.patienceFor("large")).catch(() => false));
  found.gaps = trial.gaps;
  found.complaints = trial.run.complaints;
  await trial.run.end();
  return found;
}
