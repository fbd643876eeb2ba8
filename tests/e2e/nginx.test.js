// Behind nginx with a bare `proxy_pass`: Debian's speaks HTTP/1.0 to the hub, and keeps its clients' connections.

import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";

import { Hub, NO_BINARY } from "./hub.js";
import { NO_NGINX, startNginx } from "./nginx.js";

const skip = NO_BINARY || NO_NGINX;

const BARE = (hub) => `
  location / { proxy_pass ${hub}; }
  location /forwarded/ { proxy_set_header X-Forwarded-For $remote_addr; proxy_pass ${hub}/; }`;

/** One subscribe to its end, on the agent's connection. `onText` is told what has come so far, at every piece. */
function subscribe(agent, url, headers, onText = () => {}) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece) => onText(text += piece));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text, isReused: request.reusedSocket }));
      response.on("error", reject);
    });
    request.on("error", reject);
  });
}

const data = (text) => [...text.matchAll(/^data: (event \d)$/gm)].map((match) => match[1]);
const lastId = (text) => [...text.matchAll(/^id: (.*)$/gm)].at(-1)[1];

test("one subscribe after another on a kept connection through a bare proxy_pass", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t, ["--stream-life", "2s"]);
  const url = await startNginx(t, hub, BARE);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());

  const published = [];
  let before;
  const first = await subscribe(agent, `${url}/topics/news`, {}, (text) => {
    if (published.length === 0 && text.includes("tidewire.open")) {
      published.push(hub.publish("news", "event 1"));
    }
    if (text.includes("event 1")) before ??= text;
  });
  assert.equal(first.status, 200);
  assert.match(first.headers["content-type"], /^text\/event-stream/);
  assert.deepEqual(data(first.text), ["event 1"]);
  assert.match(first.text, /closing/);
  assert.doesNotMatch(before, /closing/, "the event came with the end of its stream: nginx buffered it");

  await Promise.all(published);
  await hub.publish("news", "event 2");
  const second = await subscribe(agent, `${url}/topics/news`, { "Last-Event-ID": lastId(first.text) });
  assert.ok(second.isReused, "the connection to nginx was not kept");
  assert.deepEqual(data(second.text), ["event 2"]);

  await hub.publish("news", "event 3");
  const third = await subscribe(agent, `${url}/topics/news`, { "Last-Event-ID": lastId(second.text) });
  assert.ok(third.isReused);
  assert.deepEqual(data(third.text), ["event 3"]);
});

test("publishing through a bare proxy_pass", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const url = await startNginx(t, hub, BARE);
  const response = await fetch(`${url}/topics/news`, { method: "POST", body: "through nginx" });
  assert.equal(response.status, 200);
  assert.match(await response.text(), /^#\d+-\d+$/);
});

test("without keys a forwarded request is refused, and told the flag that permits it", { skip, timeout: 90_000 }, async (t) => {
  const hub = await Hub.start(t);
  const url = await startNginx(t, hub, BARE);
  for (const [method, body] of [["GET", undefined], ["POST", "x"]]) {
    const response = await fetch(`${url}/forwarded/topics/news`, { method, body });
    assert.equal(response.status, 403, method);
    assert.match(response.headers.get("content-type"), /^application\/problem\+json/);
    assert.match((await response.json()).detail, /--anonymous/);
  }
});
