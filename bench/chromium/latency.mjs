// How long an event takes from its publish to the callback of an EventSource in a real Chromium, while other subscribers have the
// same topic. Prints one JSON object. `cargo xtask bench fanout --only T9` runs it; by hand:
//
//   node bench/chromium/latency.mjs --url http://127.0.0.1:8080 --subscribers 1000 --rate 50 --seconds 10 --tidewire target/release/tidewire
//
// A publish is timed from the moment that the schedule wanted it, on this process's clock. The page's clock is compared with it
// before and after, by the quickest of many round trips, so that the two are apart by less than that round trip.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";

const { chromium } = createRequire(new URL("../../tests/e2e/package.json", import.meta.url))("playwright-core");

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    tidewire: { type: "string" },
    subscribers: { type: "string", default: "1000" },
    rate: { type: "string", default: "50" },
    seconds: { type: "string", default: "10" },
    payload: { type: "string", default: "200" },
  },
});
const origin = values.url;
const [subscribers, rate, seconds, payload] = ["subscribers", "rate", "seconds", "payload"].map((name) => Number(values[name]));
/** Published before anything is measured: the first events of a connection are slower. */
const WARMUP = rate;
const PREFIX = "chromium-";
const TOPIC = `${PREFIX}0`;

const now = () => performance.timeOrigin + performance.now();
const pause = (ms) => new Promise((wake) => setTimeout(wake, Math.max(0, ms)));

/** The other subscribers; they count nothing, for the events are not theirs. */
function crowd() {
  const others = subscribers - 1;
  const lasts = `${Math.ceil(seconds + WARMUP / rate + 30)}s`;
  const load = ["--subscribers", `${others}`, "--rate", "0.001", "--duration", lasts, "--check", "count", "--allow-loss", "--insecure"];
  return spawn(values.tidewire, ["bench", "fanout", "--url", origin, "--topic-prefix", PREFIX, ...load], { stdio: ["ignore", "ignore", "inherit"] });
}

/** A page of the hub's own origin with one EventSource, which notes when each event came. */
async function openPage() {
  const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
  // As root in a container the sandbox cannot start; the page is our own.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"] });
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${origin}/`);
  await page.evaluate((topic) => new Promise((open, fail) => {
    window.came = [];
    const source = new EventSource(`/topics/${topic}`);
    source.onmessage = (event) => {
      const number = Number.parseInt(event.data, 10);
      // The crowd's one event has no number.
      if (number >= 0) window.came.push([number, performance.timeOrigin + performance.now()]);
    };
    source.onopen = open;
    source.onerror = () => fail(new Error("the stream was refused"));
  }), TOPIC);
  return { browser, page };
}

/** How far the page's clock is ahead of ours, by the quickest of many questions; and how long that took. */
async function clockAhead(page) {
  let best = { trip: Infinity, ahead: 0 };
  for (let round = 0; round < 60; round += 1) {
    const sent = now();
    const there = await page.evaluate(() => performance.timeOrigin + performance.now());
    const trip = now() - sent;
    if (trip < best.trip) best = { trip, ahead: there - (sent + trip / 2) };
  }
  return best;
}

const isTls = origin.startsWith("https:");
const agent = new (isTls ? https : http).Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false });

async function publish(number) {
  const body = `${number} `.padEnd(payload, "x");
  const request = (isTls ? https : http).request(`${origin}/topics/${TOPIC}`, { method: "POST", agent });
  request.end(body);
  const [response] = await once(request, "response");
  response.resume();
  await once(response, "end");
  if (response.statusCode !== 200) throw new Error(`a publish was answered with ${response.statusCode}`);
}

/** Publishes on a schedule that does not wait for answers; gives when each event was due. */
async function publishAll(count) {
  const due = [];
  const answers = [];
  const start = now() + 20;
  for (let number = 0; number < count; number += 1) {
    due.push(start + (number * 1000) / rate);
    await pause(due[number] - now());
    answers.push(publish(number));
  }
  await Promise.all(answers);
  return due;
}

function percentiles(sortedMs) {
  const at = (quantile) => Math.round(sortedMs[Math.min(sortedMs.length - 1, Math.ceil(quantile * sortedMs.length) - 1)] * 1000);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) };
}

const others = crowd();
const { browser, page } = await openPage();
try {
  // The crowd connects meanwhile; it cannot be asked, so it gets a moment for each of its members.
  await pause(2000 + 2 * subscribers);
  const before = await clockAhead(page);
  const due = await publishAll(WARMUP + rate * seconds);
  await pause(1000);
  const after = await clockAhead(page);
  if (others.exitCode !== null) throw new Error("the other subscribers ended before their time");
  const came = await page.evaluate(() => window.came);
  const protocol = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  const ahead = (before.ahead + after.ahead) / 2;
  const late = came.filter(([number]) => number >= WARMUP).map(([number, at]) => at - ahead - due[number]);
  late.sort((a, b) => a - b);
  console.log(JSON.stringify({
    command: "chromium",
    protocol,
    browser: browser.version(),
    subscribers,
    rate,
    payload_bytes: payload,
    seconds,
    published: due.length,
    lost: due.length - came.length,
    latency_us: percentiles(late),
    clock_drift_us: Math.round((after.ahead - before.ahead) * 1000),
    clock_trip_us: Math.round(Math.max(before.trip, after.trip) * 1000),
  }));
} finally {
  await browser.close();
  others.kill();
  agent.destroy();
}
