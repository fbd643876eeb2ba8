// Everyone else's clients, unmodified: each sees every event through a hub that is killed and one that drains, and what else it does is
// what docs/clients.md says. One run for all of them, then a test a client.

import assert from "node:assert/strict";
import { before, after, describe, test } from "node:test";

import { NO_BROWSER, openBrowser } from "../e2e/browser.js";
import { Hub, NO_BINARY } from "../e2e/hub.js";
import { CLIENTS } from "./clients.js";
import { STREAMS_PER_ADDRESS_MAX, habits } from "./habits.js";
import { throughRestarts } from "./restarts.js";
import { documented, row, written } from "./table.js";

const DOCUMENTED = documented();
const PRESENT = CLIENTS.filter(({ missing }) => !missing);
const isOverTls = ({ framing }) => framing === "TLS";

/** Ends what was started, the last first; and at once what a trial starts when all is over. */
const ends = [];
let isOver = false;
const context = { after: (end) => { if (isOver) end(); else ends.push(end); } };

/** A hub without TLS and one with, each with the clients that want it. */
async function hubs(args) {
  const start = (wants, more) => Hub.start(context, [...args, ...more]).then((hub) => ({ hub, clients: PRESENT.filter(wants) }));
  return Promise.all([start((client) => !isOverTls(client), []), start(isOverTls, ["--tls-self-signed"])]);
}

/** Whether a client kept the promise: every event, once and in order. */
function promise(client, { published, shown }) {
  const { events } = shown.get(client.name);
  if (JSON.stringify(events) !== JSON.stringify(published)) return "no";
  return client.again ? "yes, in a loop" : "yes";
}

/** What went wrong, in short. */
function report(client, { published, shown }, complaints) {
  const { events, complaints: more } = shown.get(client.name);
  const ids = new Set(events.map(({ id }) => id));
  const missing = published.filter(({ id }) => !ids.has(id)).map(({ data }) => data);
  return `${events.length} events shown of ${published.length}; missing: ${missing.slice(0, 5).join(", ")} (${missing.length})\n${complaints}\n${more}`.slice(0, 2_000);
}

describe("everyone else's clients", { skip: NO_BINARY, timeout: 600_000 }, () => {
  /** By client: what a run found. */
  const found = new Map();

  before(async () => {
    const browser = NO_BROWSER ? undefined : await openBrowser(context);
    const [quiet, restarted] = await Promise.all([hubs(["--heartbeat", "1s", "--streams-per-address-max", String(STREAMS_PER_ADDRESS_MAX)]), hubs([])]);
    const restarts = restarted.map(({ hub, clients }) => throughRestarts(context, hub, clients, browser).catch((error) => ({ error })));
    const trials = quiet.flatMap(({ hub, clients }) => clients.map(async (client) => {
      const begun = performance.now();
      const seen = await habits(context, client, hub, browser, DOCUMENTED.get(client.name)).catch((error) => ({ error }));
      found.set(client.name, { ...seen, tookMs: performance.now() - begun });
    }));
    const results = await Promise.all(restarts);
    await Promise.all(trials);
    for (const [at, { clients }] of restarted.entries()) {
      for (const client of clients) {
        const seen = found.get(client.name);
        seen.error ??= results[at].error;
        if (seen.error) continue;
        Object.assign(seen, { promise: promise(client, results[at]), report: report(client, results[at], seen.complaints ?? "") });
      }
    }
  });

  after(async () => {
    isOver = true;
    for (const end of ends.reverse()) await end();
  });

  for (const client of CLIENTS) {
    test(client.name, { skip: client.missing ? `not installed: ${client.missing}` : false }, (t) => {
      const seen = found.get(client.name);
      t.diagnostic(`its habits took ${Math.round(seen.tookMs / 1000)} s`);
      if (seen.error) throw seen.error;
      const says = DOCUMENTED.get(client.name);
      const does = written(client, { ...seen, version: client.version?.() });
      assert.ok(says, `docs/clients.md has no row for it; this run would write:\n${row(client.name, does)}`);
      // Debian's own: whichever it has.
      if (!client.version) does.version = says.version;
      assert.deepEqual(does, says, `docs/clients.md says otherwise; this run would write:\n${row(client.name, does)}\n${seen.report}`);
      assert.deepEqual(seen.phantoms, [], "events that nobody published");
    });
  }

  test("the document has no other rows", () => {
    assert.deepEqual([...DOCUMENTED.keys()], CLIENTS.map(({ name }) => name));
  });
});
