// A hub with keys, and tokens for it, made as README's lines make them.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { BINARY, Hub, temporaryFolder } from "./hub.js";

/** Writes a new secret into a file of the folder, and returns its path. */
export function newKey(folder, name = "tidewire.key") {
  const key = join(folder, name);
  execFileSync(BINARY, ["token", "keygen", "--out", key], { stdio: "ignore" });
  return key;
}

/** A token that is signed with the secret of this file. */
export const mint = (key, ...args) => execFileSync(BINARY, ["token", "--quiet", "--key-file", key, ...args], { encoding: "utf8" }).trim();

/** A hub with one key for both roles, in `folder`. */
export async function hubWithKeys(t, args = []) {
  const folder = temporaryFolder(t);
  const key = newKey(folder);
  const hub = await Hub.start(t, ["--publisher-key-file", key, "--subscriber-key-file", key, ...args]);
  return { hub, folder, key };
}
