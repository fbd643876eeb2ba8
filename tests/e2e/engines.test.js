// What the engines' own EventSources do differently, and that the SDK does the same in all of them; and the playground in each.
// sdk/js/README.md tells the differences.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ALL_ENGINES } from "./engines.js";
import { Hub, NO_BINARY, until } from "./hub.js";
import { startServer } from "./sdk.js";

/** Reads `url` until it is refused for good, or an event says that it is enough; the server knows the rest. */
const watch = (name, url) => {
  const source = name === "native" ? new EventSource(url) : new window.TidewireSource(url, { backoffMs: 50 });
  const seen = (window.seen = { data: [], isOver: false });
  const look = () => {
    if (source.readyState === 2) seen.isOver = true;
  };
  const take = ({ data, lastEventId }) => {
    seen.data.push(`${lastEventId}|${data}`);
    if (data !== "end") return;
    source.close();
    look();
  };
  source.onmessage = take;
  source.addEventListener("x", take);
  source.onerror = look;
};

const END = { body: "data: end\n\n" };

/** What the server answers one connection after another; the ids it is asked with, and what is seen, for each engine's own and the SDK. */
const TABLE = {
  "a clean end": { answers: [{ body: "retry: 50\nid: 1\ndata: a\n\n" }, END], asked: [null, "1"] },
  "a connection that breaks": { answers: [{ body: "retry: 50\nid: 1\ndata: a\n\ndata: half", breaks: true }, END], asked: [null, "1"] },
  "an event that is cut before its blank line": { answers: [{ body: "retry: 50\nid: 1\ndata: a\n\nid: 2\ndata: b\n" }, END], asked: [null, "1"] },
  "an id without data": {
    answers: [{ body: "retry: 50\nid: 1\ndata: a\n\nid: 5\n\n" }, END],
    asked: { Chromium: [null, "5"], Firefox: [null, "1"], WebKit: [null, "1"], sdk: [null, "5"] },
  },
  "an id with a type and empty data": { answers: [{ body: "retry: 50\nevent: x\nid: 5\ndata:\n\n" }, END], asked: [null, "5"] },
  ...Object.fromEntries([429, 500, 502, 503, 504].map((status) => [
    `${status} on the way back`,
    { answers: [{ body: "retry: 50\nid: 1\ndata: a\n\n" }, { status }, END], asked: { native: [null, "1"], sdk: [null, "1", "1"] } },
  ])),
  "204 on the way back": { answers: [{ body: "retry: 50\nid: 1\ndata: a\n\n" }, { status: 204 }, END], asked: [null, "1"] },
  "another type on the way back": { answers: [{ body: "retry: 50\nid: 1\ndata: a\n\n" }, { headers: { "Content-Type": "text/html" } }, END], asked: [null, "1"] },
  "a redirect": {
    answers: [{ status: 307, headers: { Location: "elsewhere" } }, END],
    elsewhere: { answers: [{ body: "retry: 50\nid: 1\ndata: a\n\n" }, END] },
    asked: { Chromium: [null], Firefox: [null, "1"], WebKit: [null, "1"], sdk: [null, "1"] },
  },
};

for (const { name: engine, open, skip } of ALL_ENGINES) {
  test(`${engine}: where EventSources differ, the SDK does not`, { skip, timeout: 120_000 }, async (t) => {
    const browser = await open(t);
    for (const [what, { answers, elsewhere, asked }] of Object.entries(TABLE)) {
      for (const kind of ["native", "sdk"]) {
        const server = await startServer(t, { stream: answers, elsewhere: elsewhere?.answers });
        const tab = await browser.openTab(`${server.url}/sdk-test.html`);
        await until("the page", () => tab.evaluate(() => window.ready === true));
        await tab.evaluate(watch, kind, `${server.url}/stream`);
        await until(`${kind}, ${what}: the end`, () => tab.evaluate(() => window.seen.isOver), 20_000);
        const want = Array.isArray(asked) ? asked : asked[kind === "sdk" ? "sdk" : engine] ?? asked[kind];
        assert.deepEqual(server.asked["/stream"], want, `${kind}, ${what}: the last event ids it came with`);
        await tab.close();
      }
    }
  });

  test(`${engine}: the playground`, { skip: NO_BINARY || skip, timeout: 120_000 }, async (t) => {
    const hub = await Hub.start(t);
    const browser = await open(t);
    const tab = await browser.openTab(`${hub.url}/?topic=news`);
    const state = (want) => until(`the state ${want}`, () => tab.evaluate((want) => document.getElementById("state").dataset.state === want, want), 20_000);
    const rows = () => tab.evaluate(() => [...document.querySelectorAll("#events li")]
      .map((item) => [item.dataset.type, item.querySelector(".data").textContent])
      .filter(([type]) => !type.startsWith("tidewire.")));
    const publish = (data, type) => tab.evaluate((data, type) => {
      for (const [id, value] of [["topic", "news"], ["data", data], ["type", type]]) {
        const field = document.getElementById(id);
        field.value = value;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }
      document.getElementById("publish-button").click();
    }, data, type);
    await state("open");
    const want = [["message", "ä\nfrom outside"], ["tick", "from the page"], ["message", "<b onclick='x'>text</b>"]];
    await hub.publish("news", want[0][1]);
    await until("the first event", async () => (await rows()).length === 1);
    await publish("from the page", "tick");
    await until("the second event", async () => (await rows()).length === 2);
    await hub.publish("news", want[2][1]);
    await until("the third event", async () => (await rows()).length === 3);
    assert.deepEqual(await rows(), want);
    assert.equal(await tab.evaluate(() => document.querySelectorAll("#events [onclick]").length), 0);

    await hub.kill();
    await state("waiting");
    await hub.start();
    await state("open");
    want.push(["message", "after"]);
    await hub.publish("news", "after");
    await until("the event after the restart", async () => (await rows()).length === 4);
    assert.deepEqual(await rows(), want);
    await tab.reload();
    await state("open");
    await publish("again", "");
    await until("an event after the reload", async () => (await rows()).at(-1)?.[1] === "again");
  });
}
