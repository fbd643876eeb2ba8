// nginx in front of a hub.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Program, freePort, temporaryFolder, until } from "./hub.js";

const NGINX = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].find(existsSync);

/** A reason to skip, or false. */
export const NO_NGINX = NGINX ? false : "nginx is not installed";

/** Starts it with what `server(hub.url)` says within `server { }`, and `around` beside it; returns its URL. */
export async function startNginx(t, hub, server, around = "") {
  const [folder, port] = [temporaryFolder(t), await freePort()];
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`);
  writeFileSync(join(folder, "nginx.conf"), `
    daemon off; master_process off; pid ${folder}/pid; error_log stderr;
    events {}
    http {
      access_log off; ${temp.join(" ")} ${around}
      server { listen 127.0.0.1:${port}; ${server(hub.url)} }
    }`);
  const program = new Program(t, NGINX, ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"]);
  const url = `http://127.0.0.1:${port}`;
  await until(`nginx to answer: ${program.stderr}`, () => fetch(`${url}/healthz`).then((answer) => answer.ok, () => false));
  return url;
}
