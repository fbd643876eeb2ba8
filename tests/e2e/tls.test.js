// The hub's own TLS, with a certificate of its own: curl over both versions of HTTP, and one page of a real browser that holds
// far more streams than HTTP/1.1 would let it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Hub, NO_BINARY, Program, until } from "./hub.js";

const run = promisify(execFile);

const STREAMS = 120;

/** curl's answer, with the hub's certificate as the only one that is trusted. */
async function curl(hub, ...args) {
  const trusted = join(hub.folder, "data/tls-self-signed.crt");
  const { stdout } = await run("curl", ["--silent", "--show-error", "--fail", "--cacert", trusted, ...args]);
  return stdout;
}

const publish = (hub, topic, data) => curl(hub, "--data-binary", data, `${hub.url}/topics/${topic}`);

test("curl trusts the certificate that was kept, over HTTP/1.1 and 2, also after a restart", { skip: NO_BINARY }, async (t) => {
  const hub = await Hub.start(t, ["--tls-self-signed"]);
  assert.match(hub.url, /^https:/);
  for (const round of ["first", "second"]) {
    for (const [flag, version] of [["--http1.1", "1.1"], ["--http2", "2"]]) {
      for (const url of [hub.url, hub.url.replace("127.0.0.1", "localhost")]) {
        const said = await curl(hub, flag, "--output", "/dev/null", "--write-out", "%{http_version} %{http_code}", `${url}/healthz`);
        assert.equal(said, `${version} 200`, url);
      }
      const topic = `${round}-${version}`;
      await publish(hub, topic, "stored");
      const args = ["--silent", "--no-buffer", flag, "--cacert", join(hub.folder, "data/tls-self-signed.crt")];
      const stream = new Program(t, "curl", [...args, `${hub.url}/topics/${topic}?since=earliest`]);
      await until("the stored event", () => stream.lines.includes("data: stored"));
      await publish(hub, topic, "live");
      await until("the live event", () => stream.lines.includes("data: live"));
      await stream.end();
    }
    await hub.program.end();
    await hub.start();
  }
});

test("one page holds 120 EventSources on one connection, and each gets its events, also after a restart", { skip: NO_BINARY || NO_BROWSER, timeout: 120_000 }, async (t) => {
  const hub = await Hub.start(t, ["--tls-self-signed"]);
  const browser = await openBrowser(t);
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const tab = await context.newPage();
  // A page whose policy lets it connect to its own origin: the playground.
  await tab.goto(`${hub.url}/`);
  await tab.evaluate((count) => {
    window.got = Array.from({ length: count }, () => []);
    window.sources = window.got.map((got, at) => {
      const source = new EventSource(`/topics/t${at}`);
      source.onmessage = (event) => got.push(event.data);
      return source;
    });
  }, STREAMS);
  const open = () => tab.evaluate(() => window.sources.filter((source) => source.readyState === EventSource.OPEN).length);
  await until("all streams to open", async () => (await open()) === STREAMS);
  const everyoneGot = (data) =>
    until(`${data} everywhere`, () => tab.evaluate((data) => window.got.every((got, at) => got.at(-1) === `${data} ${at}`), data), 30_000);
  const all = Array.from({ length: STREAMS }, (_, at) => ({ topic: `t${at}`, at }));
  const publishAll = (word) => {
    const lines = all.map(({ topic, at }) => JSON.stringify({ topic, data: `${word} ${at}` })).join("\n");
    return curl(hub, "--header", "content-type: application/x-ndjson", "--data-binary", `${lines}\n`, `${hub.url}/.well-known/mercure`);
  };
  await publishAll("first");
  await everyoneGot("first");

  // HTTP/2, and one connection for all of them: what the browser has open to this port, as the system sees it.
  const protocol = await tab.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  assert.equal(protocol, "h2");
  const { stdout } = await run("ss", ["-Htn", "state", "established", "sport", "=", `:${new URL(hub.url).port}`]);
  assert.equal(stdout.trim().split("\n").length, 1, stdout);

  await hub.kill();
  await hub.start();
  // Published while nobody is connected: what the streams ask for when they come back.
  await publishAll("second");
  await everyoneGot("second");
  await publishAll("third");
  await everyoneGot("third");
  const got = await tab.evaluate(() => window.got);
  got.forEach((events, at) => assert.deepEqual(events, [`first ${at}`, `second ${at}`, `third ${at}`]));
});
