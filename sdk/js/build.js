// Builds the module, its types and the classic script, measures them, and copies what the hub serves to where it embeds it.
// With --check nothing is written: it fails if what the hub serves is not what the sources build.

import { parse } from "acorn";
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, gunzipSync, gzipSync } from "node:zlib";

/** What each file may take on its way, gzipped, in bytes. */
const BYTES_MAX = { "tidewire.js": 6_144, "tidewire-old.js": 8_192 };

const HERE = new URL(".", import.meta.url).pathname;
const SERVED = join(HERE, "../../crates/http/assets/sdk");
const LICENCE = "// MIT or Apache-2.0";

const tsc = (...args) => execFileSync(process.execPath, [join(HERE, "node_modules/typescript/bin/tsc"), "-p", HERE, ...args], { stdio: "inherit" });

const common = {
  bundle: true,
  minify: true,
  write: false,
  charset: "utf8",
  legalComments: "none",
  // Members that begin with an underscore are nobody else's.
  mangleProps: /^_[a-z]/,
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  banner: { js: LICENCE },
};

async function bundle(options) {
  const { outputFiles } = await build({ ...common, ...options });
  return outputFiles[0].text;
}

const modern = () => bundle({ entryPoints: [join(HERE, "src/index.ts")], format: "esm", target: "es2020" });

/** tsc writes ES5, for esbuild cannot; then a few modules are exchanged for their old ones. */
async function old() {
  const folder = mkdtempSync(join(tmpdir(), "tidewire-sdk-"));
  try {
    tsc("--noEmit", "false", "--outDir", folder);
    const exchange = {
      name: "old",
      setup: ({ onResolve }) => onResolve({ filter: /^\.\/(wire|target|crew)$/ }, ({ path }) => ({ path: join(folder, "old", `${path}.js`) })),
    };
    const text = await bundle({ entryPoints: [join(folder, "old/index.js")], format: "iife", target: "es5", plugins: [exchange] });
    parse(text, { ecmaVersion: 5, sourceType: "script" });
    return text;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const gzipped = (text) => gzipSync(text, { level: 9 });

/** Whether the hub serves this text, and its compressed form is of the same: node's versions compress differently. */
function isServed(file, text) {
  return existsSync(file) && readFileSync(file, "utf8") === text && existsSync(`${file}.gz`) && gunzipSync(readFileSync(`${file}.gz`)).equals(Buffer.from(text));
}

function measure(name, text) {
  const gzip = gzipped(text).length;
  const brotli = brotliCompressSync(text).length;
  console.log(`${name}: ${text.length} bytes, ${gzip} gzipped, ${brotli} with brotli`);
  if (gzip > BYTES_MAX[name]) throw new Error(`${name} has ${gzip} bytes gzipped; at most ${BYTES_MAX[name]} are allowed`);
}

const isCheck = process.argv.includes("--check");
tsc();
const files = { "tidewire.js": await modern(), "tidewire-old.js": await old() };
for (const [name, text] of Object.entries(files)) {
  measure(name, text);
  const served = join(SERVED, name);
  if (isCheck) {
    if (!isServed(served, text)) throw new Error(`crates/http/assets/sdk/${name} is not what the sources build: run \`npm run build\` in sdk/js`);
    continue;
  }
  for (const folder of [SERVED, join(HERE, "dist")]) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  if (!isServed(served, text)) writeFileSync(`${served}.gz`, gzipped(text));
}
if (!isCheck) {
  const types = join(HERE, "dist/types");
  rmSync(types, { recursive: true, force: true });
  tsc("--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", types);
  // Node's own way to resolve wants the names of files.
  for (const name of readdirSync(types).filter((name) => name.endsWith(".d.ts"))) {
    const file = join(types, name);
    writeFileSync(file, readFileSync(file, "utf8").replace(/(from "\.\/\w+)"/g, '$1.js"'));
  }
  rmSync(join(types, "old"), { recursive: true });
}
