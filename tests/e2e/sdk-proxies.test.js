// The browser SDK behind proxies that hold streams back: nginx, told not to mind what the hub asks for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Hub, NO_BINARY } from "./hub.js";
import { NO_NGINX, startNginx } from "./nginx.js";
import { burst, expectAll, isOpen, openContext, openSdkTab } from "./sdk.js";

const skip = NO_BINARY || NO_BROWSER || NO_NGINX;

const HELD = "proxy_ignore_headers X-Accel-Buffering; proxy_buffering on;";
const PROXIES = {
  "one that holds everything back until it ends": { server: (hub) => `location / { ${HELD} proxy_pass ${hub}; }` },
  // As tunnels do that know but one streaming type.
  "one that lets only text/event-stream flow": {
    around: "map $http_accept $streams { default 0; ~text/event-stream 1; }",
    server: (hub) => `
      location / { error_page 418 = @held; if ($streams = 0) { return 418; } proxy_pass ${hub}; }
      location @held { ${HELD} proxy_pass ${hub}; }`,
  },
};
const [STREAM, NDJSON, PAGE] = ["text/event-stream", "application/x-ndjson", "application/json"];

/** The forms that are asked for, in order; of long polls that follow each other the first. */
const TABLE = [
  ["one that holds everything back until it ends", false, [STREAM, NDJSON, PAGE]],
  ["one that holds everything back until it ends", true, [NDJSON, PAGE]],
  ["one that lets only text/event-stream flow", false, [STREAM]],
  ["one that lets only text/event-stream flow", true, [NDJSON, PAGE]],
];

for (const [name, share, want] of TABLE) {
  test(`behind ${name}, ${share ? "shared" : "alone"}`, { skip, timeout: 90_000 }, async (t) => {
    const hub = await Hub.start(t);
    const { server, around } = PROXIES[name];
    const url = await startNginx(t, hub, server, around);
    const context = await openContext(await openBrowser(t));
    const asked = [];
    context.on("request", (request) => request.url().includes("mercure") && asked.push(request.headers().accept));
    const forms = () => asked.filter((form, at) => form !== PAGE || form !== asked[at - 1]);
    const init = { share, openMs: 1_000, resume: true };
    const tabs = [await openSdkTab(context, url, "/topics/news", init)];
    await isOpen(tabs[0]);
    if (share) {
      tabs.push(await openSdkTab(context, url, "/topics/news", init));
      await isOpen(tabs[1]);
    }
    const sent = [];
    const publishSlowly = async (name) => {
      for (let number = 0; number < 10; number++) {
        // Each comes before anything else happens that could bring it along.
        sent.push(...(await burst(hub, "news", 1, { name: `${name} ${number}` })));
        await expectAll(tabs, sent);
      }
    };
    await publishSlowly("one by one");
    assert.deepEqual(forms(), want);
    sent.push(...(await burst(hub, "news", 200, { name: "many" })));
    await expectAll(tabs, sent);

    // The next page of a tab knows what comes through.
    for (const tab of tabs.splice(1)) await tab.close();
    asked.length = 0;
    await tabs[0].reload();
    await isOpen(tabs[0]);
    await publishSlowly("reloaded");
    assert.deepEqual(forms(), want.slice(-1));
  });
}
