// The playground page in a real browser: every type of event, hostile data, load, limits, and the lines it offers to paste.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { NO_BROWSER, openBrowser, openPlayground, openTab, rows, untilState } from "./browser.js";
import { BINARY, Hub, NO_BINARY, listen, pause, until } from "./hub.js";
import { hubWithKeys, mint, newKey } from "./keys.js";

const run = promisify(execFile);
const skip = NO_BINARY || NO_BROWSER;

test("events of every type are shown, with their ids, and so are the hub's own", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const tab = await openPlayground(await openBrowser(t), hub, ["orders"]);
  const first = await hub.publish("orders", "plain");
  await hub.publish("orders", "typed", "?type=order.paid");
  await hub.publish("orders", "two\nlines", "?type=note&id=my-own-id");
  await until("three rows", async () => (await rows(tab)).length === 3);
  const shown = await rows(tab, { control: true });
  assert.equal(shown[0].type, "tidewire.open");
  assert.match(shown[0].data, /"stream"/);
  assert.deepEqual(shown.slice(1).map(({ type, data }) => [type, data]), [
    ["message", "plain"],
    ["order.paid", "typed"],
    ["note", "two\nlines"],
  ]);
  assert.equal(shown[1].id, first);
  assert.equal(shown[3].id, "my-own-id");
  assert.equal(await tab.textContent("#last-id"), "my-own-id");
  assert.equal(await tab.textContent("#count"), "3");
  assert.deepEqual(tab.faults, []);
});

test("what is published from the page arrives on the page; a refusal says what to change", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const tab = await openPlayground(await openBrowser(t), hub, ["clock"]);
  await tab.fill("#data", "from the page");
  await tab.fill("#type", "tick");
  await tab.click("#publish-button");
  await until("the event", async () => (await rows(tab)).length === 1);
  const [{ id, type, data }] = await rows(tab);
  assert.deepEqual([type, data], ["tick", "from the page"]);
  await tab.waitForFunction((id) => document.getElementById("published").textContent === `published as ${id}`, id);
  await tab.fill("#type", "tidewire.open");
  await tab.click("#publish-button");
  await tab.waitForSelector("#published.is-bad");
  assert.match(await tab.textContent("#published"), /tidewire\./);
});

test("data is only ever text", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const tab = await openPlayground(await openBrowser(t), hub, ["hostile"]);
  const hostile = [
    `<img src=x onerror="window.taken = true">`,
    `<script>window.taken = true</script>`,
    `</li></ol><iframe srcdoc="<script>parent.taken = true</script>"></iframe>`,
  ];
  for (const data of hostile) await hub.publish("hostile", data);
  await hub.publish("hostile", "last", `?type=${encodeURIComponent(hostile[0])}&id=${encodeURIComponent(hostile[0])}`);
  await until("four rows", async () => (await rows(tab)).length === 4);
  assert.deepEqual((await rows(tab)).slice(0, 3).map((row) => row.data), hostile);
  assert.equal(await tab.evaluate(() => document.querySelectorAll("#events img, #events script, iframe").length), 0);
  assert.equal(await tab.evaluate(() => window.taken), undefined);
  const policy = (await tab.goto(hub.url)).headers()["content-security-policy"];
  assert.match(policy, /default-src '(none|self)'/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  assert.deepEqual(tab.faults, []);
});

test("a gap is told loudly", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t, ["--retention-count", "10"]);
  const first = await hub.publish("short", "forgotten");
  for (let number = 0; number < 50; number++) await hub.publish("short", `event ${number}`);
  const tab = await openTab(await openBrowser(t), hub.url);
  await tab.fill("#topics", "short");
  await tab.selectOption("#start", "id");
  // A cursor of a life that this log never had: always a gap, whatever retention has got round to.
  await tab.fill("#start-id", first.replace(/\d+-/, "1-"));
  await tab.click("#subscribe-button");
  const gap = await tab.waitForSelector("#events .gap");
  assert.match(await gap.textContent(), /GAP: events are missing here/);
  await tab.uncheck("#show-control");
  assert.ok(await gap.isVisible(), "a gap is not hidden with the other events of the hub");
});

test("a thousand events a second for five seconds leave the page usable", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t, ["--durability", "interval"]);
  const tab = await openPlayground(await openBrowser(t), hub, ["busy"]);
  await tab.evaluate(() => {
    window.frameGaps = [];
    let before = performance.now();
    const frame = (now) => {
      window.frameGaps.push(now - before);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const start = Date.now();
  let clickMs = 0;
  for (let batch = 0; batch < 50; batch++) {
    const events = Array.from({ length: 100 }, (_, index) =>
      JSON.stringify({ topic: "busy", data: JSON.stringify({ number: batch * 100 + index, text: "x".repeat(80) }) }),
    );
    const response = await fetch(`${hub.url}/.well-known/mercure`, {
      method: "POST",
      headers: { "Content-Type": "application/x-ndjson" },
      body: events.join("\n") + "\n",
    });
    assert.ok(response.ok, await response.text());
    if (batch === 25) {
      const before = Date.now();
      await tab.click("#show-control");
      clickMs = Date.now() - before;
    }
    await pause(Math.max(0, start + (batch + 1) * 100 - Date.now()));
  }
  const seconds = (Date.now() - start) / 1_000;
  await until("all events", async () => (await tab.textContent("#count")) === "5,000", 5_000);
  const shown = await rows(tab);
  assert.ok(shown.length <= 500, `${shown.length} rows`);
  assert.equal(JSON.parse(shown.at(-1).data).number, 4_999);
  assert.ok(Number(await tab.getAttribute("#hidden-count", "data-count")) >= 4_500);
  const gaps = (await tab.evaluate(() => window.frameGaps)).sort((a, b) => a - b);
  const [median, worst] = [gaps[gaps.length >> 1], gaps.at(-1)];
  t.diagnostic(`5,000 events in ${seconds} s; frames: median ${median.toFixed(0)} ms, worst ${worst.toFixed(0)} ms; a click took ${clickMs} ms`);
  // How fast depends on the machine; it draws all the while, and the click was taken in the middle.
  assert.ok(gaps.length > 50, `${gaps.length} frames`);
});

test("a stream that is stuck connecting names the limit of six connections", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const tab = await openTab(await openBrowser(t), hub.url);
  await tab.evaluate(async () => {
    window.others = Array.from({ length: 6 }, (_, number) => new EventSource(`/topics/other-${number}`));
    await Promise.all(window.others.map((other) => new Promise((opened) => { other.onopen = opened; })));
  });
  await tab.click("#subscribe-button");
  await tab.waitForSelector("#notice:not([hidden])", { timeout: 8_000 });
  assert.match(await tab.textContent("#notice"), /six connections/);
  assert.equal(await tab.getAttribute("#state", "data-state"), "connecting");
  await tab.evaluate(() => window.others.pop().close());
  await untilState(tab, "open");
  assert.ok(await tab.isHidden("#notice"));
});

test("a page on another loopback port reads with plain EventSource; another site's page does not", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const { createServer } = await import("node:http");
  const pages = createServer((_, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end("<!doctype html><title>elsewhere</title>");
  });
  const port = await listen(t, pages);
  const browser = await openBrowser(t, { hosts: { "evil.example": "127.0.0.1" } });

  const read = (url) => new Promise((resolve) => {
    const stream = new EventSource(url);
    stream.onopen = () => resolve("open");
    stream.onmessage = (event) => { window.seen = [event.lastEventId, event.data]; };
    stream.onerror = () => resolve(stream.readyState === EventSource.CLOSED ? "refused for good" : "cut off");
  });
  for (const host of ["127.0.0.1", "localhost"]) {
    const neighbour = await openTab(browser, `http://${host}:${port}/`);
    assert.equal(await neighbour.evaluate(read, `${hub.url}/topics/news`), "open", host);
    const id = await hub.publish("news", `for ${host}`);
    await neighbour.waitForFunction((id) => window.seen?.[0] === id, id);
    assert.deepEqual(await neighbour.evaluate(() => window.seen), [id, `for ${host}`]);
    const publish = (url) => fetch(url, { method: "POST", body: "x" }).then((response) => response.status);
    assert.equal(await neighbour.evaluate(publish, `${hub.url}/topics/news`), 200, host);
  }
  const stranger = await openTab(browser, `http://evil.example:${port}/`);
  assert.equal(await stranger.evaluate(read, `${hub.url}/topics/news`), "refused for good");
  const post = (url) => fetch(url, { method: "POST", mode: "no-cors", body: "written by a stranger" });
  await stranger.evaluate(post, `${hub.url}/topics/forged`);
  const kept = await fetch(`${hub.url}/topics/forged?since=earliest`, { headers: { Accept: "application/json" } });
  assert.doesNotMatch(await kept.text(), /written by a stranger/);

  // DNS rebinding: the stranger's name now points at the hub itself, which makes it same-origin for the browser.
  const rebound = await openTab(browser);
  const answer = await rebound.goto(`http://evil.example:${new URL(hub.url).port}/topics/news`);
  assert.equal(answer.status(), 403);
});

const NASTY = [
  { topic: "plain", data: "hello" },
  { topic: "it's", data: "it's" },
  { topic: `a "b" $HOME \`id\` \\ !x;#&|<>(){}[]*?~`, data: `"$HOME" \`id\` \\n !!;#&|<>` },
  { topic: "grüße/東京/🌊", data: "grüße 東京 🌊" },
  { topic: "100%/50%25", data: "100%25" },
  { topic: "a//b/../c/", data: "two\nlines\n\nand a half" },
  { topic: "https://example.com/books/1?x=y&z", data: "@/etc/hostname" },
  { topic: "-d", data: "-d" },
  { topic: "a+b c", data: "a+b=c&d=e" },
  { topic: "empty", data: "" },
];

test("the lines to copy work pasted into sh", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const tab = await openTab(await openBrowser(t), hub.url);
  for (const { topic, data } of NASTY) {
    const type = "it's a type";
    await tab.fill("#topics", topic);
    for (const [field, value] of Object.entries({ topic, data, type })) await tab.fill(`#${field}`, value);
    await tab.click("#subscribe-button");
    await untilState(tab, "open");
    await tab.click("#clear-button");
    const [subscribe, publish] = await Promise.all(["#subscribe-curl", "#publish-curl"].map((id) => tab.textContent(id)));
    const reader = spawn("sh", ["-c", `exec ${subscribe} -sS`], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => reader.kill("SIGKILL"));
    let read = "";
    reader.stdout.setEncoding("utf8").on("data", (text) => { read += text; });
    await until(`curl to open ${topic}`, () => read.includes("tidewire.open"));

    const { stdout: id } = await run("sh", ["-c", `${publish} -sS`]);
    assert.match(id.trim(), /^#\d+-\d+$/, `${topic}: ${id}`);
    await until(`the event in curl for ${topic}`, () => read.includes(`id: ${id.trim()}\n`));
    const lines = data.split("\n").map((line) => `data: ${line}`.trimEnd());
    const block = read.split("\n\n").find((block) => block.includes(`id: ${id.trim()}`));
    assert.deepEqual(block.split("\n").filter((line) => line.startsWith("data")).map((line) => line.trimEnd()), lines, topic);
    assert.ok(block.includes(`event: ${type}\n`), block);
    await until(`the event on the page for ${topic}`, async () => (await rows(tab)).some((row) => row.id === id.trim()));
    assert.equal((await rows(tab)).find((row) => row.id === id.trim()).data, data, topic);
    reader.kill();
  }
});

test("several topics, a start in the past, and the line to copy for them", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  for (const [topic, data] of [["a", "1"], ["it's", "2"], ["c", "3"]]) await hub.publish(topic, data);
  const tab = await openTab(await openBrowser(t), hub.url);
  await tab.fill("#topics", "a\nit's");
  await tab.selectOption("#start", "earliest");
  await tab.click("#subscribe-button");
  await until("both events", async () => (await rows(tab)).length === 2);
  assert.deepEqual((await rows(tab)).map((row) => row.data), ["1", "2"]);
  const line = await tab.textContent("#subscribe-curl");
  const { stdout } = await run("sh", ["-c", `${line} -sS --max-time 2 || true`]);
  assert.deepEqual(stdout.match(/^data: \d$/gm), ["data: 1", "data: 2"]);
});

test("the page goes on over a restart of the hub, and says when there is none", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const tab = await openPlayground(await openBrowser(t), hub, ["clock"]);
  await hub.publish("clock", "before");
  await until("the first event", async () => (await rows(tab)).length === 1);
  await hub.kill();
  await untilState(tab, "waiting");
  await tab.waitForSelector("#notice:not([hidden])");
  await hub.start();
  await untilState(tab, "open");
  assert.ok(await tab.isHidden("#notice"));
  await hub.publish("clock", "after");
  await until("the second event", async () => (await rows(tab)).length === 2);
  assert.deepEqual((await rows(tab)).map((row) => row.data), ["before", "after"]);
});

// --- A hub with keys ------------------------------------------------------------------------------------------------

const mintAll = (key) => mint(key, "--subscribe", "*", "--publish", "*");

/** Whatever a tab does that others could read: addresses, the console, what it stores. */
async function watchedTab(browser, url) {
  const tab = await openTab(browser);
  await tab.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
  const heard = [];
  tab.on("request", (request) => heard.push(request.url()));
  tab.on("framenavigated", (frame) => heard.push(frame.url()));
  tab.on("console", (message) => heard.push(message.text()));
  tab.traces = async () => [
    ...heard, tab.url(), await tab.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie])),
  ].join("\n");
  await tab.goto(url);
  return tab;
}

async function subscribeTo(tab, topic) {
  await tab.fill("#topics", topic);
  await tab.click("#subscribe-button");
}

async function publishPrivate(tab, topic, data) {
  await tab.fill("#topic", topic);
  await tab.fill("#data", data);
  await tab.check("#private");
  await tab.click("#publish-button");
}

test("a hub with keys: the page says what to do, and what it says does it", { skip, timeout: 90_000 }, async (t) => {
  const { hub, folder } = await hubWithKeys(t);
  const tab = await openTab(await openBrowser(t), hub.url);
  assert.ok(await tab.isHidden("#token"), "nobody is asked for a token before the hub wants one");
  assert.equal(await tab.getAttribute("#token", "type"), "password");
  await subscribeTo(tab, "orders");
  await untilState(tab, "refused");
  assert.match(await tab.textContent("#notice"), /a token is needed to subscribe/);
  assert.match(await tab.textContent("#wanted"), /wants a token to subscribe/);
  assert.ok(await tab.isVisible("#token"));
  await tab.click("#publish-button");
  await tab.waitForSelector("#published.is-bad");
  assert.match(await tab.textContent("#published"), /a token is needed to publish/);
  assert.match(await tab.textContent("#wanted"), /wants a token to publish/);

  const line = await tab.textContent("#mint");
  const { stdout } = await run("sh", ["-c", `tidewire() { "$BINARY" "$@"; }; ${line}`], { cwd: folder, env: { BINARY } });
  await tab.fill("#token", ` Bearer ${stdout}`);
  await tab.press("#token", "Enter");
  await untilState(tab, "open");
  await publishPrivate(tab, "orders", "for few");
  await until("the private event", async () => (await rows(tab)).some((row) => row.data === "for few"));
  const page = (token) => fetch(`${hub.url}/topics/orders?since=earliest`, {
    headers: { Accept: "application/json", Authorization: `Bearer ${token}` },
  }).then((response) => response.text());
  assert.match(await page(stdout.trim()), /for few/);
  assert.doesNotMatch(await page(mint(join(folder, "tidewire.key"), "--subscribe", "other")), /for few/);
  assert.deepEqual(tab.faults, []);
});

test("a token that is not good: the hub's sentence, for each reason", { skip, timeout: 90_000 }, async (t) => {
  const { hub, folder, key } = await hubWithKeys(t, ["--debug-refusals"]);
  const stranger = newKey(folder, "other.key");
  const tab = await openTab(await openBrowser(t), hub.url);
  await tab.click("#access summary");
  const wrong = [
    [mintAll(stranger), /does not fit the hub's key/],
    ["abc", /no signed JWT/],
    // What no header can carry is never sent, and no reason to believe that the hub does not answer.
    ["ab\u{1f30a} c", /is no token/],
  ];
  for (const [token, sentence] of wrong) {
    await tab.fill("#token", token);
    await subscribeTo(tab, "orders");
    await tab.waitForFunction((source) => new RegExp(source).test(document.getElementById("notice").textContent), sentence.source);
    assert.equal(await tab.textContent("#state"), "refused");
    assert.ok(!(await tab.textContent("body")).includes(token), "a token is not shown");
  }
  await tab.fill("#token", mint(key, "--subscribe", "orders"));
  await tab.click("#subscribe-button");
  await untilState(tab, "open");
  await tab.click("#publish-button");
  await tab.waitForSelector("#published.is-bad");
  assert.match(await tab.textContent("#published"), /does not allow/);
  assert.match(await tab.textContent("#wanted"), /does not let this token publish/);
  // A token for the other role beside the stream, which goes on with its own.
  await tab.fill("#token", mint(key, "--publish", "orders"));
  await publishPrivate(tab, "orders", "by another token");
  await until("the event", async () => (await rows(tab)).some((row) => row.data === "by another token"));
  assert.deepEqual(tab.faults, []);
});

test("the token is in no URL, line, store or message, and a reload forgets it", { skip, timeout: 90_000 }, async (t) => {
  const { hub, key } = await hubWithKeys(t);
  const token = mintAll(key);
  const tab = await watchedTab(await openBrowser(t), hub.url);
  await tab.click("#access summary");
  await tab.fill("#token", token);
  await subscribeTo(tab, "orders/{id}\norders/1");
  await untilState(tab, "open");
  await publishPrivate(tab, "orders/1", "a secret");
  await until("the event", async () => (await rows(tab)).length === 1);

  await tab.click("details:has(#event-source) summary");
  const copied = {};
  for (const button of await tab.$$("[data-copies]")) {
    await button.click();
    const name = await button.getAttribute("data-copies");
    await tab.waitForFunction((button) => button.textContent === "Copied", button);
    copied[name] = await tab.evaluate(() => navigator.clipboard.readText());
    assert.ok(!copied[name].includes(token), name);
  }
  for (const name of ["subscribe-curl", "publish-curl"]) assert.ok(copied[name].includes(`-H "Authorization: Bearer $TOKEN"`), name);
  assert.match(copied["event-source"], /TidewireSource.*\{ token \}/);
  await run("sh", ["-c", `${copied["publish-curl"]} -sS`], { env: { ...process.env, TOKEN: token } });
  await until("curl's event", async () => (await rows(tab)).length === 2);
  const { stdout } = await run("sh", ["-c", `${copied["subscribe-curl"]}'&since=earliest' -sS --max-time 2 || true`], {
    env: { ...process.env, TOKEN: token },
  });
  assert.equal(stdout.match(/^data: a secret$/gm).length, 2);

  await tab.reload();
  // The topics are in the address, so the page asks for them again: with nothing.
  await untilState(tab, "refused");
  assert.equal(await tab.inputValue("#token"), "");
  assert.deepEqual(await rows(tab), [], "what a token let one see goes with it");
  const traces = await tab.traces();
  assert.match(traces, /topic=orders/, "traces are watched");
  assert.ok(!traces.includes(token));
  assert.ok(!traces.includes("a secret"));
  assert.deepEqual(tab.faults, []);
});

test("a token that is to be kept is, until it is forgotten", { skip, timeout: 90_000 }, async (t) => {
  const { hub, key } = await hubWithKeys(t);
  const token = mintAll(key);
  const tab = await watchedTab(await openBrowser(t), hub.url);
  await tab.click("#access summary");
  await tab.check("#keep-token");
  await tab.fill("#token", token);
  await subscribeTo(tab, "orders");
  await untilState(tab, "open");
  await publishPrivate(tab, "orders", "a secret");
  await until("the event", async () => (await rows(tab)).length === 1);
  await tab.reload();
  await untilState(tab, "open");
  assert.equal(await tab.inputValue("#token"), token);
  assert.deepEqual((await rows(tab)).map((row) => row.data), ["a secret"]);

  await tab.click("#forget-button");
  await untilState(tab, "idle");
  assert.equal(await tab.inputValue("#token"), "");
  assert.ok(!(await tab.isChecked("#keep-token")));
  assert.deepEqual(await rows(tab), []);
  await tab.reload();
  await untilState(tab, "refused");
  const traces = await tab.traces();
  assert.ok(!traces.includes(token));
  assert.ok(!traces.includes("a secret"));
});

test("after a token's end the stream goes on with the next, where it was", { skip, timeout: 90_000 }, async (t) => {
  const { hub, key } = await hubWithKeys(t);
  const tab = await openTab(await openBrowser(t), hub.url);
  await tab.click("#access summary");
  await tab.fill("#token", mint(key, "--subscribe", "*", "--publish", "*", "--ttl", "6s"));
  await subscribeTo(tab, "orders");
  await untilState(tab, "open");
  await publishPrivate(tab, "orders", "before");
  await until("the event", async () => (await rows(tab)).length === 1);
  await untilState(tab, "refused");
  assert.match(await tab.textContent("#notice"), /does not take the token: it may be over/);
  await tab.fill("#token", mintAll(key));
  await publishPrivate(tab, "orders", "between");
  await tab.waitForFunction(() => document.getElementById("published").textContent.startsWith("published as"));
  await tab.click("#subscribe-button");
  await until("both events", async () => (await rows(tab)).length === 2);
  assert.deepEqual((await rows(tab)).map((row) => row.data), ["before", "between"]);
});
