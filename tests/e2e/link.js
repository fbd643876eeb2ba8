// A network namespace of the test's own, and a bad link to it: packets are late, lost, or go nowhere. The kernel's own netem is
// not in every kernel; slow-link.py does as much.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

import { Program, until } from "./hub.js";

const has = (command, ...args) => {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

/** A reason to skip, or false. */
export const NO_LINK =
  process.getuid() !== 0 ? "network namespaces are root's" :
  !existsSync("/dev/net/tun") ? "there is no /dev/net/tun" :
  !has("ip", "netns", "list") ? "iproute2 is not installed" :
  !has("python3", "--version") ? "python3 is not installed" : false;

const SCRIPT = new URL("slow-link.py", import.meta.url).pathname;

export class Link {
  static async open(t) {
    const link = new Link();
    // Addresses for tests of networks (RFC 2544), of this process alone.
    const net = `198.${18 + (process.pid % 2)}.${(process.pid >> 1) % 256}`;
    Object.assign(link, { namespace: `tidewire-${process.pid}`, here: `${net}.1`, there: `${net}.2` });
    execFileSync("ip", ["netns", "add", link.namespace]);
    t.after(async () => {
      await link.program?.end("SIGKILL");
      execFileSync("ip", ["netns", "del", link.namespace]);
    });
    link.program = new Program(t, "python3", [SCRIPT, link.namespace, link.here, link.there], { stdio: ["pipe", "pipe", "pipe"] });
    await link.#said("ready");
    return link;
  }

  /** `delay 150` (ms, one way), `loss 0.05`, `cut`, `heal`, `forget` (the connections there are). What has become of packets so far. */
  async tell(command) {
    const { length } = this.program.lines;
    this.program.child.stdin.write(`${command}\n`);
    return this.#said("done", length);
  }

  #said(word, from = 0) {
    return until(`the link to say ${word}: ${this.program.stderr}`, () => this.program.lines.slice(from).find((line) => line.startsWith(word)));
  }
}
