// The reference page against the binary: it lists the flags there are, and no others.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { BINARY, NO_BINARY } from "./hub.js";

const reference = readFileSync(new URL("../../docs/reference.md", import.meta.url), "utf8");
const section = (title) => reference.split(`\n## ${title}\n`)[1].split("\n## ")[0];
const flags = (text) => new Set([...text.matchAll(/(?<![\w-])--([a-z][a-z-]+)/g)].map((match) => match[1]));
const help = (...command) => execFileSync(BINARY, [...command, "--help"], { encoding: "utf8" });
/** Flags as clap lists them: at the start of a line, or after the short one. */
const listed = (text) => new Set([...text.matchAll(/^ {2,6}(?:-\w, )?--([a-z][a-z-]+)/gm)].map((match) => match[1]));

test("every setting of serve is in the reference, and every one there exists", { skip: NO_BINARY }, () => {
  const [real, told] = [listed(help("serve")), flags(section("Settings"))];
  told.delete("help");
  real.delete("help");
  assert.ok(real.size > 10, "the help was not understood");
  assert.deepEqual([...real].filter((flag) => !told.has(flag)), [], "missing in docs/reference.md");
  assert.deepEqual([...told].filter((flag) => !real.has(flag)), [], "in docs/reference.md, but not there");
});

test("every flag of pub and sub is in the reference, and every one there exists", { skip: NO_BINARY }, () => {
  for (const command of ["pub", "sub"]) {
    const real = listed(help(command));
    real.delete("help");
    const row = section("Commands").split("\n").find((line) => line.startsWith(`| \`tidewire ${command} `));
    const told = flags(row);
    assert.deepEqual([...real].filter((flag) => !told.has(flag)), [], `${command}: missing in docs/reference.md`);
    assert.deepEqual([...told].filter((flag) => !real.has(flag)), [], `${command}: in docs/reference.md, but not there`);
  }
});

test("every command of the reference answers --help with an example", { skip: NO_BINARY }, () => {
  const commands = [...section("Commands").matchAll(/^\| `tidewire (\w+)[^|]*\|/gm)].map((match) => match[1]);
  assert.ok(commands.length >= 6);
  for (const command of commands) assert.match(help(command), /Example/, command);
});
