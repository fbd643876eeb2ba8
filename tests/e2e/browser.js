// A real Chromium without a window, and what tests look at in the playground page.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { temporaryFolder } from "./hub.js";

const EXECUTABLE = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

const playwright = await import("playwright-core").catch(() => undefined);

/** A reason to skip, or false. */
export const NO_BROWSER = !EXECUTABLE ? "chromium is not installed" : !playwright ? "playwright-core is not installed: npm ci" : false;

/**
 * A browser with nothing stored, closed after the test. `hosts` maps names to loopback: `{"evil.example": "127.0.0.1"}`;
 * `without` names flags of the driver's that are left out; in a network `namespace` it has that network alone.
 */
export async function openBrowser(t, { hosts = {}, without = [], namespace } = {}) {
  const rules = Object.entries(hosts).map(([name, address]) => `MAP ${name} ${address}`);
  const browser = await playwright.chromium.launch({
    executablePath: namespace ? inNamespace(t, namespace) : EXECUTABLE,
    ignoreDefaultArgs: without,
    args: [
      // Tests run as root in containers, where the sandbox cannot start; every page here is our own.
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      ...(rules.length > 0 ? [`--host-resolver-rules=${rules.join(",")}`] : []),
    ],
  });
  t.after(() => browser.close());
  return browser;
}

function inNamespace(t, namespace) {
  const script = join(temporaryFolder(t), "chromium");
  writeFileSync(script, `#!/bin/sh\nexec ip netns exec ${namespace} ${EXECUTABLE} "$@"\n`, { mode: 0o700 });
  return script;
}

/** A tab; what the page did wrong is in `tab.faults`. */
export async function openTab(browser, url) {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(15_000);
  tab.faults = [];
  tab.on("pageerror", (error) => tab.faults.push(String(error)));
  tab.on("dialog", (dialog) => {
    tab.faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  if (url) await tab.goto(url);
  return tab;
}

/** Opens the playground on these topics and waits until its stream is open. */
export async function openPlayground(browser, hub, topics) {
  const query = topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&");
  const tab = await openTab(browser, `${hub.url}/?${query}`);
  await untilState(tab, "open");
  return tab;
}

export const untilState = (tab, state) => tab.waitForSelector(`#state[data-state="${state}"]`);

/** The rows shown, the oldest first; the hub's own events only with `control`. */
export async function rows(tab, { control = false } = {}) {
  const all = await tab.$$eval("#events li", (items) =>
    items.map((item) => ({
      id: item.dataset.id,
      type: item.dataset.type,
      data: item.querySelector(".data").textContent,
    })),
  );
  return all.filter((row) => control || !row.type.startsWith("tidewire."));
}
