// undici's EventSource: node undici.js URL TYPE...

import { EventSource } from "undici";

import { show } from "./show.js";

const [url, ...types] = process.argv.slice(2);
const source = new EventSource(url);
for (const type of ["message", ...types]) source.addEventListener(type, show);
source.addEventListener("error", () => console.error("error, state", source.readyState));
// Its timer to reconnect does not keep a program alive that has nothing else to do.
setInterval(() => {}, 60_000);
