// Brings a module of the sources into a test, with whatever it imports.

import { build } from "esbuild";

const SOURCES = new URL("../src/", import.meta.url).pathname;

export async function load(name) {
  const { outputFiles } = await build({
    entryPoints: [`${SOURCES}${name}.ts`],
    bundle: true,
    write: false,
    format: "esm",
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString("base64")}`);
}
