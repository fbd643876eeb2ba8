// Starts the real binary as users do, and ends only what it started.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const ROOT = new URL("../../", import.meta.url).pathname;

/** The binary under test; `undefined` when nobody built one. */
export const BINARY = [
  process.env.TIDEWIRE_BIN,
  join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "release/tidewire"),
  join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug/tidewire"),
].find((path) => path && existsSync(path));

/** A reason to skip, or false: what node's test runner wants to know. */
export const NO_BINARY = BINARY ? false : "there is no tidewire binary: cargo build --release -p tidewire";

export const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** Waits until `look` returns something true, and returns that. */
export async function until(what, look, withinMs = 10_000) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms in vain for ${what}`);
    await pause(20);
  }
}

/** Lets a server listen on loopback until the test ends, and returns its port. */
export async function listen(t, server) {
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  return server.address().port;
}

/** A port that was free a moment ago, for programs that cannot be asked for any. */
export async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** A folder of the test's own, gone afterwards. `t` is the test's context. */
export function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), "tidewire-e2e-"));
  folders.add(folder);
  t.after(() => remove(folder));
  return folder;
}

const folders = new Set();

/** A program that is still ending may write what was removed: then it goes when all is over. */
function remove(folder) {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // Once more at the exit.
  }
}

process.on("exit", () => folders.forEach(remove));

/** A running program: what it printed, how it ended, and the means to end it. */
export class Program {
  constructor(t, command, args, options = {}) {
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    this.lines = [];
    this.stderr = "";
    createInterface({ input: this.child.stdout }).on("line", (line) => this.lines.push(line));
    this.child.stderr.setEncoding("utf8").on("data", (text) => { this.stderr += text; });
    this.ended = new Promise((resolve) => {
      this.child.on("error", (error) => resolve({ error }));
      this.child.on("close", (code, signal) => resolve({ code, signal }));
    });
    t.after(() => this.end("SIGKILL"));
  }

  async end(signal = "SIGTERM") {
    this.child.kill(signal);
    return this.ended;
  }
}

/** A hub, on loopback unless another address is given. Kill it and `start` it again: it comes back on the same port, with the same data. */
export class Hub {
  static async start(t, args = [], address = "127.0.0.1:0") {
    const hub = new Hub(t, args, address);
    await hub.start();
    return hub;
  }

  constructor(t, args, address) {
    Object.assign(this, { t, args, folder: temporaryFolder(t), address });
  }

  async start() {
    const serve = ["serve", "--listen", this.address, "--data-dir", join(this.folder, "data"), ...this.args];
    this.program = new Program(this.t, BINARY, serve, { cwd: this.folder });
    const listening = await until(
      "the hub to listen",
      async () => {
        const line = this.program.lines.find((line) => /^listening https?:\/\//.test(line));
        if (line) return line;
        const ended = await Promise.race([this.program.ended, pause(0)]);
        if (ended) throw new Error(`the hub ended (${JSON.stringify(ended)}): ${this.program.stderr}`);
      },
    );
    this.url = listening.slice("listening ".length).trim().replace(/\/$/, "");
    // From now on the same port, so that a restart is found where it was.
    this.address = new URL(this.url).host;
  }

  kill() {
    return this.program.end("SIGKILL");
  }

  /** Publishes one event and returns its id. */
  async publish(topic, data, query = "") {
    const response = await fetch(`${this.url}/topics/${encodeURIComponent(topic)}${query}`, { method: "POST", body: data });
    const text = await response.text();
    if (!response.ok) throw new Error(`publish: ${response.status} ${text}`);
    return text;
  }
}
