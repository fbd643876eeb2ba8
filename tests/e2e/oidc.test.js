// An issuer's URL alone configures its keys: a real authorization server, its code flow in a real browser, the token in a cookie,
// private events through EventSource, and keys that change meanwhile.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Hub, NO_BINARY, until } from "./hub.js";
import { Application, Issuer, NO_PROVIDER, part } from "./issuer.js";

const SKIP = NO_BINARY || NO_BROWSER || NO_PROVIDER;
const TOPIC = "orders/42";

/** The back end's own token, in the legacy dialect. */
function publisherToken(key) {
  const parts = [{ alg: "HS256", typ: "JWT" }, { mercure: { publish: ["*"] } }];
  const signed = parts.map((value) => Buffer.from(JSON.stringify(value)).toString("base64url")).join(".");
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

/** Logs in at the issuer, as a user does, and comes back to the application. */
async function logIn(tab, application) {
  await tab.goto(`${application.url}/login`);
  await tab.fill("[name=login]", "user-1");
  await tab.fill("[name=password]", "anything");
  await tab.click("[type=submit]");
  await tab.click("text=Continue");
  await tab.waitForURL(`${application.url}/`);
}

test("users of an authorization server read private events, also when its keys change", { skip: SKIP, timeout: 120_000 }, async (t) => {
  const key = "a key of the test's own, of 32 bytes or more";
  process.env.TIDEWIRE_PUBLISHER_KEY = key;
  t.after(() => delete process.env.TIDEWIRE_PUBLISHER_KEY);
  const issuer = await Issuer.start(t);
  // The issuer is down when the hub starts: nothing answers there yet.
  issuer.answer = (_request, response) => response.writeHead(503).end();
  const hub = await Hub.start(t, ["--tls-self-signed", "--issuer", issuer.url, "--keys-refetch-floor", "200ms"]);
  const hubUrl = hub.url.replace("127.0.0.1", "localhost");
  const resource = `${hubUrl}/.well-known/mercure`;
  const data = join(hub.folder, "data");
  const files = { certificate: "tls-self-signed.crt", key: "tls-self-signed.pem" };
  const [certificate, certificateKey] = Object.values(files).map((name) => readFileSync(join(data, name)));
  const application = await Application.start(t, { certificate, key: certificateKey, issuer, resource, topics: [TOPIC] });
  // The application's port is known only now.
  await hub.program.end();
  hub.args.push("--cors-origins", application.url);
  await hub.start();

  const browser = await openBrowser(t);
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  // A program's request with a token, through the browser's network, which takes the hub's certificate.
  const status = async (token) => {
    const answer = await context.request.get(`${resource}?match=${encodeURIComponent(TOPIC)}`, {
      headers: { authorization: `Bearer ${token}`, accept: "application/json" },
    });
    return answer.status();
  };
  const publish = async (text) => {
    const answer = await context.request.post(resource, {
      headers: { authorization: `Bearer ${publisherToken(key)}` },
      form: { topic: TOPIC, data: text, private: "on" },
    });
    assert.equal(answer.status(), 200, await answer.text());
  };
  const follow = (tab) =>
    tab.evaluate((url) => {
      window.got = [];
      window.source = new EventSource(url, { withCredentials: true });
      window.source.onmessage = (event) => window.got.push(event.data);
      return new Promise((opened, failed) => {
        window.source.onopen = () => opened();
        window.source.onerror = () => failed(new Error(`state ${window.source.readyState}`));
      });
    }, `${resource}?match=${encodeURIComponent(TOPIC)}`);
  const got = (tab) => tab.evaluate(() => window.got);

  issuer.rotate("first", application.redirect);
  const tab = await context.newPage();
  await logIn(tab, application);
  const [first] = application.tokens;
  assert.deepEqual([part(first, 0).typ, part(first, 0).kid], ["at+jwt", "first"]);
  assert.deepEqual([part(first, 1).aud, part(first, 1).iss], [resource, issuer.url]);
  await follow(tab);
  await publish("one");
  await until("the private event", async () => (await got(tab)).includes("one"));
  assert.equal(await status(first), 200);

  // Another key, and the one before is gone. The hub learns of it by the first token that names it.
  issuer.rotate("second", application.redirect);
  assert.equal(await status(first), 200, "nobody has asked for the keys since");
  const other = await browser.newContext({ ignoreHTTPSErrors: true });
  const later = await other.newPage();
  await logIn(later, application);
  const second = application.tokens.at(-1);
  assert.equal(part(second, 0).kid, "second");
  await follow(later);
  await publish("two");
  await until("the private event", async () => (await got(later)).includes("two"));
  assert.equal(await status(second), 200);
  assert.equal(await status(first), 401, "its key is not the issuer's any more");
  // What runs goes on until its grant ends: the token was good when it was shown.
  await until("the stream that runs", async () => (await got(tab)).includes("two"));

  // Strangers' tokens do not make the hub ask over and over.
  const before = issuer.fetched;
  const forged = `${Buffer.from(JSON.stringify({ ...part(second, 0), kid: "no such key" })).toString("base64url")}.${second.split(".").slice(1).join(".")}`;
  const began = Date.now();
  for (let round = 0; round < 40; round += 1) assert.equal(await status(forged), 401);
  const most = 1 + (Date.now() - began) / 200;
  assert.ok(issuer.fetched - before <= most, `${issuer.fetched - before} fetches, at most ${most}`);
});
