// What a page written in strict TypeScript does with the package; package.test.js compiles it.

import { EventSource as Exchanged, TidewireSource, type TidewireErrorEvent, type TidewireSourceInit, type TokenReason } from "tidewire";

const init: TidewireSourceInit = { token: async (why: TokenReason) => (await fetch(`/my/token?${why}`)).text(), share: "me", resume: true };
const source = new TidewireSource("https://hub.example/topics/orders", init);

source.onopen = (event) => console.log(event.type);
source.onmessage = ({ data, lastEventId }) => console.log(lastEventId.length, data);
source.onerror = ({ status }) => console.log(status?.toFixed(), source.readyState === TidewireSource.CLOSED, source.readyState === 2);
source.ongap = ({ data }) => console.log(JSON.parse(data).reason);
source.onmessage = null;

const listener = (event: MessageEvent) => console.log(event.data);
source.addEventListener("alarm", listener, { once: true });
source.removeEventListener("alarm", listener);
source.addEventListener("alarm", ({ data }) => console.log(data));
source.addEventListener("error", ({ status }) => console.log(status));
source.addEventListener("error", (event: Event) => console.log(event.type));
source.addEventListener("message", { handleEvent: (event: Event) => console.log(event.type) });
const told = (event: TidewireErrorEvent) => event.status;
source.onerror = told;

source.addTopics("a", "b");
source.removeTopics("c");
const texts: string[] = [...source.topics, source.lastEventId, source.url];
const isWith: boolean = source.withCredentials;

// Wherever an EventSource is wanted, it will do.
const Any: typeof EventSource = TidewireSource;
const sources: EventSource[] = [new Exchanged("/topics/news"), new TidewireSource(new URL("https://x.y/")), new Any("x", { withCredentials: isWith })];
for (const { close } of sources) console.log(close, texts);

// @ts-expect-error: a URL is text, or a URL
new TidewireSource(5);
// @ts-expect-error: no such option
new TidewireSource("x", { backoff: 3 });
// @ts-expect-error: only it knows
source.readyState = 3;
