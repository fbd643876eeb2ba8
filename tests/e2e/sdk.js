// What the tests of the browser SDK share: a page on the hub's origin that subscribes with it, and what it saw.

import { readFileSync } from "node:fs";
import http from "node:http";

import { listen, pause, until } from "./hub.js";

const SERVED = new URL("../../crates/http/assets/sdk/", import.meta.url);

/** Keeps what came in sessionStorage, so that a reload does not lose it; an error in a listener ends in `tab.faults`. */
const PAGE = `<!doctype html><title>sdk</title>
<script src="/sdk/tidewire-old.js"></script><script>window.OldSource = TidewireSource;</script>
<script type="module">
  import { TidewireSource } from "/sdk/tidewire.js";
  const note = (line) => sessionStorage.setItem("seen", (sessionStorage.getItem("seen") ?? "") + JSON.stringify(line) + "\\n");
  Object.assign(window, { TidewireSource, sources: [] });
  window.begin = (url, init = {}) => {
    const { token, ...rest } = init;
    if (token) rest.token = (why) => { note({ token: why }); return window.giveToken(why); };
    const source = new TidewireSource(url, rest);
    const number = sources.push(source) - 1;
    const take = (event) => note({ type: event.type, data: event.data, id: event.lastEventId, source: number });
    source.onmessage = take;
    source.ongap = take;
    source.addEventListener("alarm", take);
    source.onopen = () => note({ type: "open", source: number });
    source.onerror = (event) => note({ type: "error", status: event.status, state: source.readyState, source: number });
  };
  const begun = new URLSearchParams(location.search).get("begin");
  if (begun) window.begin(...JSON.parse(begun));
  window.ready = true;
</script>`;

/** Answers a request for the test's page or the SDK by `give(contentType, body)`; false if it is for something else. */
export function serveSdk(url, give) {
  const { pathname } = new URL(url, "http://x");
  if (pathname === "/sdk-test.html") give("text/html", PAGE);
  else if (pathname.startsWith("/sdk/")) give("text/javascript", readFileSync(new URL(pathname.slice("/sdk/".length), SERVED), "utf8"));
  else return false;
  return true;
}

/** A server whose nth connection at a path is answered by the nth of its answers; what it was asked is in `asked`, what runs in `open`. */
export async function startServer(t, answers) {
  const asked = {};
  const open = new Set();
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    const script = answers[pathname.split("/").at(-1)];
    const isPage = !script && serveSdk(request.url, (contentType, body) => response.writeHead(200, { "Content-Type": contentType }).end(body));
    if (isPage) return;
    if (!script) return response.writeHead(404).end();
    open.add(pathname);
    response.on("close", () => open.delete(pathname));
    const number = (asked[pathname] ??= []).push(request.headers["last-event-id"] ?? null) - 1;
    const { status = 200, headers = {}, body = "", stays, breaks } = script[number] ?? { status: 204 };
    response.writeHead(status, { "Content-Type": "text/event-stream", ...headers });
    if (breaks) return response.write(body, () => setTimeout(() => response.destroy(), 50));
    if (stays) return response.write(body);
    response.end(body);
  });
  return { url: `http://127.0.0.1:${await listen(t, server)}`, asked, open };
}

/** A browser's profile whose pages find the test's page and the SDK as it is built on any origin. */
export async function openContext(browser) {
  const context = await browser.newContext();
  for (const pattern of ["**/sdk-test.html*", "**/sdk/*.js"]) {
    await context.route(pattern, (route) => serveSdk(route.request().url(), (contentType, body) => route.fulfill({ contentType, body })));
  }
  return context;
}

/** A tab that subscribes at once, and again after a reload. */
export async function openSdkTab(context, origin, url, init = {}, page = "sdk-test.html") {
  const tab = await context.newPage();
  tab.setDefaultTimeout(15_000);
  tab.faults = [];
  tab.on("pageerror", (error) => tab.faults.push(String(error)));
  await tab.goto(`${origin}/${page}?begin=${encodeURIComponent(JSON.stringify([url, init]))}`);
  await tab.waitForFunction(() => window.ready);
  return tab;
}

/** Everything that the tab noted. */
export async function seen(tab) {
  const text = await tab.evaluate(() => sessionStorage.getItem("seen") ?? "");
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** The data of the events that the tab noted. */
export const dataOf = async (tab) => (await seen(tab)).filter(({ type }) => type === "message" || type === "alarm").map(({ data }) => data);

export const isOpen = (tab) => until("an open source", () => tab.evaluate(() => window.sources.at(-1)?.readyState === 1), 15_000);

/** The streams that the hub has open; it was started with `--admin-listen 127.0.0.1:0`. */
export async function subscribers(hub) {
  const [, admin] = /^admin (http:.*)$/m.exec(hub.program.stderr);
  const text = await (await fetch(`${admin}/metrics`)).text();
  return [...text.matchAll(/^tidewire_subscribers\{[^}]*\} (\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
}

/** Publishes one event, however often it is tried: its text is its key. True when it is stored. */
async function publishOnce(hub, topic, data, query) {
  const headers = { "Idempotency-Key": `${topic} ${data}`, ...hub.publishHeaders };
  const response = await fetch(`${hub.url}/topics/${encodeURIComponent(topic)}${query}`, { method: "POST", body: data, headers });
  await response.text();
  return response.ok;
}

/**
 * Publishes numbered events one after the other, and returns their data; `after[n]` is done besides, once n are out. `query(n)`
 * is for the nth.
 */
export async function burst(hub, topic, count, { everyMs = 5, after = {}, name = "event", query = () => "" } = {}) {
  const sent = [];
  let running = Promise.resolve();
  for (let number = 1; number <= count; number++) {
    const data = `${name} ${number}`;
    // A hub that is down is waited for: what was not acknowledged was not published.
    for (let isDone = false; !isDone;) isDone = await publishOnce(hub, topic, data, query(number)).catch(() => pause(50));
    sent.push(data);
    if (after[number]) running = running.then(after[number]);
    await pause(everyMs);
  }
  await running;
  return sent;
}

/** Waits until each tab has seen exactly this, once and in order. */
export async function expectAll(tabs, want, withinMs = 20_000) {
  for (const [number, tab] of tabs.entries()) {
    await until(`all events in tab ${number}`, async () => (await dataOf(tab)).length >= want.length, withinMs).catch(() => {});
    const got = await dataOf(tab);
    if (got.join("\n") === want.join("\n")) continue;
    const at = got.findIndex((data, index) => data !== want[index]);
    const missing = want.filter((data) => !got.includes(data));
    const all = (await seen(tab)).map((line) => `${line.type ?? "token"} ${line.data ?? line.status ?? line.token ?? ""}`);
    throw new Error(
      `tab ${number}: ${got.length} events, ${want.length} wanted; first other at ${at}: ${got[at]}; missing ${missing.slice(0, 5)} (${missing.length}); ` +
      `around: ${all.filter((line) => !/^message/.test(line)).slice(-12).join(" | ")}; faults: ${tab.faults}`,
    );
  }
}
