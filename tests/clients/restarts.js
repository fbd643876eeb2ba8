// The promise: a hub that is killed in the middle of a stream, and later one that drains, while a publisher goes on.

import { randomUUID } from "node:crypto";

import { pause, until } from "../e2e/hub.js";
import { publish } from "./publish.js";

const EVENTS = 300;
const TOPIC = "restarts";
/** How long the hub is away: long enough that whoever asks again at once is refused. */
const AWAY_MS = 3_000;
const PATIENCE_MS = 90_000;

/** A publisher that tries again until it has its answer; the key makes sure that trying again stores nothing twice. */
async function publishPatiently(hub, data) {
  const headers = { "idempotency-key": randomUUID() };
  return until(`"${data}" to be published`, () => publish(hub, TOPIC, data, { headers }).catch(() => undefined), PATIENCE_MS);
}

async function everyRun(runs, what, look) {
  await until(what, () => [...runs.values()].every((run) => run.isOver || look(run)), PATIENCE_MS).catch(() => {});
}

/** Runs clients on one hub through both restarts. What each has seen of the events is in the map that it returns, with what was published. */
export async function throughRestarts(t, hub, clients, browser) {
  const runs = new Map();
  await Promise.all(clients.map(async (client) => {
    runs.set(client.name, await client.start(t, `${hub.url}/topics/${TOPIC}`, { browser, again: client.again }));
  }));
  await until("every client to hear the hub", async () => {
    await publishPatiently(hub, "warm-up");
    await pause(200);
    return [...runs.values()].every((run) => run.isOver || run.seen.some(({ data }) => data === "warm-up"));
  }, PATIENCE_MS).catch(() => {});

  const published = [];
  const publishUpTo = async (count) => {
    while (published.length < count) {
      const data = `event ${published.length + 1}`;
      published.push({ id: await publishPatiently(hub, data), data });
      await pause(10);
    }
  };
  const hasAll = ({ seen }) => seen.some(({ id }) => id === published.at(-1).id);

  let publishing = publishUpTo((EVENTS * 2) / 3);
  await until("a third of the events", () => published.length >= EVENTS / 3, PATIENCE_MS);
  await hub.kill();
  await pause(AWAY_MS);
  await hub.start();
  await publishing;
  await everyRun(runs, "every client to come back after the crash", hasAll);

  publishing = publishUpTo(EVENTS);
  await until("some more events", () => published.length >= (EVENTS * 5) / 6, PATIENCE_MS);
  await hub.program.end("SIGTERM");
  await hub.start();
  await publishing;
  await everyRun(runs, "every client to come back after the drain", hasAll);

  const shown = new Map();
  for (const [name, run] of runs) {
    const events = run.seen.filter(({ data, type }) => data.startsWith("event ") && !type.startsWith("tidewire."));
    shown.set(name, { events: events.map(({ id, data }) => ({ id, data })), complaints: run.complaints });
    await run.end();
  }
  return { published, shown };
}
