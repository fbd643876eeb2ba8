// npm's `eventsource`: node eventsource.js URL TYPE...

import { EventSource } from "eventsource";

import { show } from "./show.js";

const [url, ...types] = process.argv.slice(2);
const source = new EventSource(url);
for (const type of ["message", ...types]) source.addEventListener(type, show);
source.addEventListener("error", ({ code, message }) => console.error("error", code, message));
