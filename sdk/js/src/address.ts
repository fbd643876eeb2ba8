// The URL of a stream, taken apart: the hub, the topics, where to start. And which events a list of topics asks for.

import type { Item } from "./item";
import { isControl } from "./item";

export interface Address {
  /** Whether it is a hub's: elsewhere the URL is taken as it is, and only what EventSource may do is done. */
  _hub: boolean;
  /** Without query, for a hub; else the whole. */
  _base: string;
  /** What else the query of a hub's URL says. */
  _rest: string[];
  /** As the query names them, each in one spelling: `topic=a%2Fb`, `match_urlpattern=...`. */
  _topics: string[];
  _lastEventId?: string;
  _since?: string;
}

const STREAMS = "/.well-known/mercure";

/** As a hub decodes: what is no escape, and what is no UTF-8, stays as it is. */
function decode(text: string): string {
  return text.replace(/(%[\da-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch (_) {
      return escapes;
    }
  });
}

export function parseAddress(url: string): Address {
  const href = url.replace(/#.*/, "");
  const [path, query] = href.split(/\?(.*)/);
  const one = /^(.*)\/topics\/(.+)$/.exec(path);
  const address: Address = { _hub: true, _base: path, _rest: [], _topics: [] };
  if (one) {
    const topic = decode(one[2]);
    address._base = one[1] + STREAMS;
    // With braces `topic` would make a template of it.
    address._topics = [topicPair(topic, [/\{/.test(topic) ? "match" : ""])];
  } else if (path.slice(-STREAMS.length) !== STREAMS) {
    return { _hub: false, _base: href, _rest: [], _topics: [] };
  }
  for (const pair of (query || "").split("&")) {
    if (!pair) continue;
    const [name, value] = pair.split(/=(.*)/).map((text) => decode((text || "").replace(/\+/g, " ")));
    if (name === "topic" || /^match/i.test(name)) {
      address._topics.push(name + "=" + encodeURIComponent(value));
    } else if (/^last[-_]?event[-_]?id$/i.test(name)) {
      address._lastEventId = value;
    } else if (name === "since") {
      address._since = value;
    } else {
      address._rest.push(pair);
    }
  }
  return address;
}

/** A topic named by a page, in the dialect of what is subscribed to already: a request has one (mercure.md, 2.2). */
export function topicPair(topic: string, among: string[]): string {
  return (/^match/.test(among[0]) ? "match=" : "topic=") + encodeURIComponent(topic);
}

/** The topic that this asks for by its name, `*` for every one; undefined where it takes more than that to tell. */
function exact(pair: string): string | undefined {
  const [name, value] = pair.split("=");
  const topic = decodeURIComponent(value);
  const isPattern = name === "topic" ? /\{/.test(topic) : name !== "match" && name !== "match_exact";
  return isPattern && topic !== "*" ? undefined : topic;
}

/**
 * Tells which events of a stream that others read too are among those asked for; undefined where a page cannot tell: then
 * only readers of the very same topics can share a stream.
 */
export function filterOf(topics: string[]): ((item: Item) => boolean) | undefined {
  const names = topics.map(exact);
  if (containsAll(names, [undefined])) return undefined;
  const isAll = containsAll(names, ["*"]);
  return (item) => isAll || !item.topics || isControl(item) || item.topics.some((topic) => containsAll(names, [topic]));
}

export function addTo(list: string[], more: string[]): string[] {
  return more.reduce((all, one) => (containsAll(all, [one]) ? all : all.concat(one)), list);
}

export function containsAll(list: unknown[], wanted: unknown[]): boolean {
  return wanted.every((one) => list.indexOf(one) >= 0);
}
