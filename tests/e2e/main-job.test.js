// The main job: a growing file, published and watched in a browser, shows each line once and in order, whatever is restarted.

import assert from "node:assert/strict";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { NO_BROWSER, openBrowser, openPlayground, rows, untilState } from "./browser.js";
import { BINARY, Hub, NO_BINARY, Program, pause, temporaryFolder, until } from "./hub.js";

const LINES = 400;

test("a followed file shows each line once, in order, over a reload and restarts of publisher and hub", { skip: NO_BINARY || NO_BROWSER, timeout: 120_000 }, async (t) => {
  const hub = await Hub.start(t);
  const folder = temporaryFolder(t);
  const file = join(folder, "growing.log");
  writeFileSync(file, "");
  const publish = () =>
    new Program(t, BINARY, ["pub", "logs", "--follow", file, "--from-start", "--state", join(folder, "state"), "--url", hub.url]);

  const browser = await openBrowser(t);
  const tab = await openPlayground(browser, hub, ["logs"]);
  let publisher = publish();

  const faults = {
    80: async () => { await tab.reload(); },
    150: async () => {
      await publisher.end("SIGKILL");
      await pause(300);
      publisher = publish();
    },
    230: async () => {
      await hub.kill();
      await pause(700);
      await hub.start();
    },
    320: async () => { await tab.reload(); },
  };
  const written = [];
  let running = Promise.resolve();
  for (let number = 1; number <= LINES; number++) {
    written.push(`line ${number} <b>of the log</b>`);
    appendFileSync(file, `${written.at(-1)}\n`);
    // Faults happen while lines are written, not between them.
    if (faults[number]) running = running.then(faults[number]);
    await pause(15);
  }
  await running;

  const shown = () => rows(tab);
  await untilState(tab, "open");
  await until("the last line on the page", async () => (await shown()).at(-1)?.data === written.at(-1), 20_000).catch(async (error) => {
    throw new Error(`${error.message}; the page has ${(await shown()).length} rows, pub said: ${publisher.stderr}`);
  });
  assert.deepEqual((await shown()).map((row) => row.data), written);
  assert.deepEqual(tab.faults, []);
  const gaps = (await rows(tab, { control: true })).filter((row) => row.type === "tidewire.gap");
  assert.deepEqual(gaps, [], "nothing was lost, so no gap may be told");
});
