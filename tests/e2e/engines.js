// Firefox and WebKit as Debian has them, driven by WebDriver's commands: WebKit over HTTP, Firefox over Marionette, which is what
// geckodriver speaks to it; and Chromium behind the same face.

import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

import { NO_BROWSER, openBrowser } from "./browser.js";
import { Program, freePort, temporaryFolder, until } from "./hub.js";

const find = (...paths) => paths.find(existsSync);
const FIREFOX = find("/usr/bin/firefox-esr", "/usr/bin/firefox");
const WEBKIT_DRIVER = find("/usr/bin/WebKitWebDriver");
const MINI_BROWSER = find(...["4.1", "4.0", "6.0"].flatMap((version) => [`/usr/lib/x86_64-linux-gnu/webkit2gtk-${version}/MiniBrowser`, `/usr/libexec/webkit2gtk-${version}/MiniBrowser`]));
const XVFB = find("/usr/bin/Xvfb");

/** Each with a reason to skip it, or false. */
export const ENGINES = [
  { name: "Firefox", open: openFirefox, skip: FIREFOX ? false : "firefox-esr is not installed" },
  {
    name: "WebKit",
    open: openWebKit,
    skip: !WEBKIT_DRIVER || !MINI_BROWSER ? "webkit2gtk-driver is not installed" : !XVFB && !process.env.DISPLAY ? "there is no display, and no xvfb" : false,
  },
];

export const ALL_ENGINES = [{ name: "Chromium", open: openChromium, skip: NO_BROWSER }, ...ENGINES];

async function openChromium(t) {
  const browser = await openBrowser(t);
  const context = await browser.newContext();
  return {
    async openTab(url) {
      const page = await context.newPage();
      await page.goto(url);
      return {
        // As text: a page's own policy may forbid it to make functions of texts.
        evaluate: (run, ...args) => page.evaluate(`(${run})(...${JSON.stringify(args)})`),
        reload: () => page.reload(),
        close: () => page.close(),
      };
    },
  };
}

/** Tabs of one window; commands go one after the other, for a session looks at one tab at a time. */
class Browser {
  #last = Promise.resolve();
  #home;

  constructor(command) {
    this.command = command;
  }

  #inTurn(run) {
    const done = this.#last.then(run);
    this.#last = done.catch(() => {});
    return done;
  }

  openTab(url) {
    return this.#inTurn(async () => {
      // A new one is opened from one that is there; the first stays.
      this.#home ??= await this.command("GetWindowHandle", {});
      await this.command("SwitchToWindow", { handle: this.#home });
      const { handle } = await this.command("NewWindow", { type: "tab" });
      await this.command("SwitchToWindow", { handle });
      await this.command("Navigate", { url });
      return {
        /** Runs a function in the page, with these arguments, and returns what it returns. */
        evaluate: (run, ...args) => this.#inTab(handle, "ExecuteScript", { script: `return (${run})(...arguments);`, args }),
        reload: () => this.#inTab(handle, "Refresh", {}),
        close: () => this.#inTab(handle, "CloseWindow", {}),
      };
    });
  }

  #inTab(handle, name, params) {
    return this.#inTurn(async () => {
      await this.command("SwitchToWindow", { handle });
      return this.command(name, params);
    });
  }
}

async function openFirefox(t) {
  const profile = temporaryFolder(t);
  const preferences = {
    "marionette.port": 0, "app.update.auto": false, "browser.shell.checkDefaultBrowser": false, "datareporting.policy.dataSubmissionEnabled": false,
    "toolkit.telemetry.reportingpolicy.firstRun": false, "browser.startup.page": 0, "network.captive-portal-service.enabled": false,
    "network.connectivity-service.enabled": false, "services.settings.server": "data:,", "extensions.update.enabled": false,
  };
  const lines = Object.entries(preferences).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
  writeFileSync(join(profile, "user.js"), lines.join("\n"));
  const program = new Program(t, FIREFOX, ["--headless", "--no-remote", "--marionette", "--profile", profile], { env: { ...process.env, HOME: profile, MOZ_HEADLESS: "1" } });
  const portFile = join(profile, "MarionetteActivePort");
  await until(`Firefox to listen: ${program.stderr}`, () => existsSync(portFile) && readFileSync(portFile, "utf8"), 60_000);
  const command = await marionette(t, Number(readFileSync(portFile, "utf8")));
  await command("NewSession", {});
  return new Browser(command);
}

/** Each packet is its length, a colon, and JSON: `[0, id, name, parameters]`, answered by `[1, id, error, result]`. */
async function marionette(t, port) {
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  const waiting = new Map();
  let bytes = Buffer.alloc(0);
  let greet;
  const greeted = new Promise((resolve) => { greet = resolve; });
  socket.on("error", () => {});
  socket.on("data", (more) => {
    bytes = Buffer.concat([bytes, more]);
    for (let colon; (colon = bytes.indexOf(":")) > 0;) {
      const end = colon + 1 + Number(bytes.subarray(0, colon));
      if (bytes.length < end) return;
      const packet = JSON.parse(bytes.subarray(colon + 1, end));
      bytes = bytes.subarray(end);
      if (!Array.isArray(packet)) greet();
      else waiting.get(packet[1])?.(packet);
    }
  });
  await greeted;
  let last = 0;
  return (name, params) => new Promise((resolve, reject) => {
    const id = ++last;
    waiting.set(id, ([, , error, result]) => (error ? reject(new Error(`${name}: ${error.message}`)) : resolve(result?.value === undefined ? result : result.value)));
    const packet = JSON.stringify([0, id, `WebDriver:${name}`, params]);
    socket.write(`${Buffer.byteLength(packet)}:${packet}`);
  });
}

async function openWebKit(t) {
  const env = { ...process.env, HOME: temporaryFolder(t), WEBKIT_DISABLE_COMPOSITING_MODE: "1" };
  if (!env.DISPLAY) env.DISPLAY = await openDisplay(t);
  const port = await freePort();
  new Program(t, WEBKIT_DRIVER, [`--port=${port}`], { env });
  const url = `http://127.0.0.1:${port}`;
  await until("WebKit's driver", () => fetch(`${url}/status`).then((answer) => answer.ok, () => false));
  const ask = async (method, path, body) => {
    const response = await fetch(`${url}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${path}: ${value.message || value.error}`);
    return value;
  };
  const options = { binary: MINI_BROWSER, args: ["--automation"] };
  const { sessionId } = await ask("POST", "/session", { capabilities: { alwaysMatch: { "webkitgtk:browserOptions": options } } });
  t.after(() => ask("DELETE", `/session/${sessionId}`).catch(() => {}));
  const paths = {
    GetWindowHandle: ["GET", "/window"], NewWindow: ["POST", "/window/new"], SwitchToWindow: ["POST", "/window"], Navigate: ["POST", "/url"], ExecuteScript: ["POST", "/execute/sync"],
    Refresh: ["POST", "/refresh"], CloseWindow: ["DELETE", "/window"],
  };
  return new Browser((name, params) => {
    const [method, path] = paths[name];
    return ask(method, `/session/${sessionId}${path}`, method === "POST" ? params : undefined);
  });
}

/** A display that nobody sees; it says its number on a descriptor. */
async function openDisplay(t) {
  const child = spawn(XVFB, ["-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp"], { stdio: ["ignore", "ignore", "ignore", "pipe"] });
  t.after(() => child.kill());
  let said = "";
  child.stdio[3].setEncoding("utf8").on("data", (text) => { said += text; });
  await until("a display", () => said.includes("\n"));
  return `:${said.trim()}`;
}
