// Clients that live in a page: a server for the page and its scripts, and a tab that shows what they show.

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, normalize } from "node:path";

const HERE = new URL(".", import.meta.url).pathname;
const POLYFILL = "/modules/event-source-polyfill/src/eventsource.js";

const html = (name, url, types) => `<!doctype html><title>${name}</title>
${name === "event-source-polyfill" ? `<script src="${POLYFILL}"></script>` : ""}
<script>const url = ${JSON.stringify(url)}, types = ${JSON.stringify(types)};</script>
<script type="module" src="/pages/${name}.js"></script>`;

/** A file below this folder, also one that an import names without its ending, as bundlers understand it. */
function script(path) {
  const file = join(HERE, normalize(path.replace("/modules/", "/node_modules/")));
  return [file, `${file}.js`].find((file) => file.endsWith(".js") && existsSync(file));
}

async function servePages(t) {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    if (pathname === "/") {
      const page = html(searchParams.get("name"), searchParams.get("url"), searchParams.getAll("type"));
      return response.setHeader("content-type", "text/html").end(page);
    }
    const file = script(pathname);
    if (!file) return response.writeHead(404).end();
    return response.setHeader("content-type", "text/javascript").end(readFileSync(file));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${server.address().port}`;
}

/** Opens a client's page in a context of its own: one browser, but no other's connections. */
export async function openPage(t, browser, name, url, ...types) {
  const run = { seen: [], isOver: false, complaints: "" };
  const origin = await servePages(t);
  // The hub's certificate may be its own.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  run.end = () => context.close();
  const tab = await context.newPage();
  await tab.exposeFunction("show", (event) => { run.seen.push(event); });
  tab.on("pageerror", (error) => { run.complaints += `${error}\n`; });
  tab.on("console", (message) => { run.complaints += `${message.text()}\n`; });
  const query = new URLSearchParams([["name", name], ["url", url], ...types.map((type) => ["type", type])]);
  await tab.goto(`${origin}/?${query}`);
  return run;
}
