// The classic script for old browsers, in Chromium without what they did not have.

import assert from "node:assert/strict";
import { test } from "node:test";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Hub, NO_BINARY, until } from "./hub.js";
import { Road } from "./road.js";
import { burst, openContext } from "./sdk.js";

const skip = NO_BINARY || NO_BROWSER;

/** Everything the script could fall back on, and what an ES5 engine does not know. */
const YOUNGER = [
  "fetch", "Request", "Response", "Headers", "AbortController", "TextDecoder", "URL", "URLSearchParams", "EventTarget", "MessageEvent", "BroadcastChannel",
  "Promise", "Map", "Set", "WeakMap", "Symbol", "Reflect", "Proxy",
];
const YOUNGER_METHODS = {
  Object: ["assign", "entries", "values", "fromEntries", "is"],
  Array: ["from", "of"],
  Number: ["isFinite", "isNaN", "isInteger"],
  "Array.prototype": ["includes", "find", "findIndex", "flat", "flatMap", "at", "fill"],
  "String.prototype": ["includes", "startsWith", "endsWith", "repeat", "padStart", "replaceAll", "at"],
};

const page = (missing, methods, url, init) => `<!doctype html><title>old</title><pre id="seen"></pre><script>
  (function () {
    ${JSON.stringify(missing)}.forEach(function (name) { delete window[name]; });
    var methods = ${JSON.stringify(methods)};
    for (var path in methods) {
      var owner = path.split(".").reduce(function (from, name) { return from[name]; }, window);
      methods[path].forEach(function (name) { delete owner[name]; });
    }
  })();
</script><script src="/sdk/tidewire-old.js"></script><script>
  function note(text) {
    document.getElementById("seen").appendChild(document.createTextNode(text + "\\n"));
  }
  window.onerror = function (message) { note("fault: " + message); };
  var source = new EventSource(${JSON.stringify(url)}, ${JSON.stringify(init)});
  source.onopen = function () { note("open"); };
  source.addEventListener("message", { handleEvent: function (event) { note(event.data); } });
  source.addEventListener("message", function () { throw new Error("a listener's own"); }, { once: true });
  source.ongap = function (event) { note("gap " + JSON.parse(event.data).reason); };
  source.onerror = function (event) { note("error " + event.status); };
</script>`;

/** Read from a world of the driver's own: the page's has not what that needs. */
const notes = async (tab) => (await tab.textContent("#seen")).split("\n").filter(Boolean);

const table = [
  ["no EventSource and no ReadableStream", ["EventSource", "ReadableStream"], {}, () => false, "text/event-stream"],
  ["nothing that is younger than ES5", ["EventSource", "ReadableStream", ...YOUNGER], YOUNGER_METHODS, () => false, "text/event-stream"],
  ["and a proxy that holds streams back", ["EventSource", "ReadableStream", ...YOUNGER], YOUNGER_METHODS, (head) => !/^accept: application\/json/im.test(head), "application/json"],
];

for (const [name, missing, methods, holds, accept] of table) {
  test(`old browsers: ${name}`, { skip, timeout: 60_000 }, async (t) => {
    const hub = await Hub.start(t);
    const road = await Road.open(t, hub);
    road.holds = holds;
    const context = await openContext(await openBrowser(t));
    const html = page(missing, methods, "/.well-known/mercure?topic=news", { openMs: 800, backoffMs: 50 });
    await context.route("**/old.html", (route) => route.fulfill({ contentType: "text/html", body: html }));
    const tab = await context.newPage();
    await tab.goto(`${road.url}/old.html`);
    await until("an open source", async () => (await notes(tab)).includes("open"));
    const cut = async () => road.cut();
    const restart = async () => {
      await hub.kill();
      await hub.start();
    };
    const sent = await burst(hub, "news", 120, { everyMs: 10, after: { 30: cut, 70: restart } });
    await until("all events", async () => (await notes(tab)).includes(sent.at(-1)));
    const seen = await notes(tab);
    assert.deepEqual(seen.filter((line) => !/^(open|error 0|fault: .*a listener's own)$/.test(line)), sent);
    assert.equal(seen.filter((line) => /^fault/.test(line)).length, 1, "the listener's own error is reported");
    assert.ok(road.requests.some((head) => head.toLowerCase().includes(`accept: ${accept}`)));
  });
}
