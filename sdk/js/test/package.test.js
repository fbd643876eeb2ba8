// The package as npm would publish it: what is in it, and that it serves strict TypeScript however modules are resolved.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const HERE = new URL("..", import.meta.url).pathname;

/** Runs it, and shows what it printed if it fails. */
function run(command, args, cwd) {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    assert.fail(`${command} ${args.join(" ")}: ${error.stdout}${error.stderr}`);
  }
}

test("the package, packed and unpacked, in a strict consumer's hands", { timeout: 300_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tidewire-package-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const home = join(folder, "node_modules/tidewire");
  mkdirSync(home, { recursive: true });
  run("npm", ["pack", "--pack-destination", folder], HERE);
  const [archive] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  run("tar", ["xzf", join(folder, archive), "-C", home, "--strip-components=1"], folder);
  assert.deepEqual(readdirSync(home).sort(), ["README.md", "dist", "package.json"]);

  copyFileSync(join(HERE, "test/consumer.ts"), join(folder, "consumer.ts"));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  for (const [moduleResolution, module] of [["Bundler", "ESNext"], ["NodeNext", "NodeNext"]]) {
    const compilerOptions = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true, target: "ES2022", lib: ["ES2022", "DOM"], types: [], module, moduleResolution };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["consumer.ts"] }));
    run(process.execPath, [join(HERE, "node_modules/typescript/bin/tsc"), "-p", folder], folder);
  }
  // Pages are rendered on servers too, where nothing of a browser is there.
  const names = run(process.execPath, ["--input-type=module", "-e", 'console.log(Object.keys(await import("tidewire")).join())'], folder);
  assert.equal(names.trim(), "EventSource,TidewireSource");
});
