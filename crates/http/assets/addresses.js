// The hub's addresses, and the lines that this page offers to paste. Pure: the hub's own address is an argument.

/** One topic as a path. Whatever a browser or a proxy would tidy away in a path goes percent-encoded as a whole. */
export function topicPath(topic) {
  const segments = topic.split("/");
  const isTidy = segments.every((segment) => !["", ".", ".."].includes(segment));
  return "/topics/" + (isTidy ? segments.map(encodeURIComponent).join("/") : encodeURIComponent(topic));
}

function withQuery(url, pairs) {
  const query = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%3A", ":")}`);
  return url + (query.length > 0 ? "?" + query.join("&") : "");
}

/** `start` is a `since` value, or `{id}` for a last event id, or empty for now. */
export function subscribeUrl(hub, topics, start) {
  const pairs = [];
  if (start.id) pairs.push(["last_event_id", start.id]);
  else if (start.since) pairs.push(["since", start.since]);
  // `*` and dots alone have no place in a path: the first would be a topic of that name, the others are tidied away.
  if (topics.length === 1 && !["*", ".", ".."].includes(topics[0])) return withQuery(hub + topicPath(topics[0]), pairs);
  const named = topics.map((topic) => ["topic", topic]);
  return withQuery(hub + "/.well-known/mercure", [...named, ...pairs, ["checkpoint", "event"]]);
}

export function publishUrl(hub, { topic, type, id, isPrivate }) {
  const pairs = [];
  if (type) pairs.push(["type", type]);
  if (id) pairs.push(["id", id]);
  if (isPrivate) pairs.push(["private", "true"]);
  return withQuery(hub + topicPath(topic), pairs);
}

/** For any POSIX shell: inside single quotes only the single quote itself is special. */
export const shellQuoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// The shell puts the token in: whatever is copied ends up in histories and chats.
const curlToken = (hasToken) => (hasToken ? ` -H "Authorization: Bearer $TOKEN"` : "");

export const subscribeCurl = (hub, topics, start, hasToken) =>
  `curl -N${curlToken(hasToken)} ${shellQuoted(subscribeUrl(hub, topics, start))}`;

// `--data-raw`, not `-d`: data that begins with @ is data, not the name of a file.
export const publishCurl = (hub, event, hasToken) =>
  `curl${curlToken(hasToken)} --data-raw ${shellQuoted(event.data)} ${shellQuoted(publishUrl(hub, event))}`;

/** EventSource alone cannot send a token in a header; the hub's own script can. */
export function eventSourceSnippet(hub, topics, start, hasToken) {
  const url = JSON.stringify(subscribeUrl(hub, topics, start));
  const opened = hasToken
    ? [
      `import { TidewireSource } from ${JSON.stringify(`${hub}/sdk/tidewire.js`)};`,
      `const token = async () => (await fetch("/my/token")).text(); // your backend makes it`,
      `const stream = new TidewireSource(${url}, { token });`,
    ]
    : [`const stream = new EventSource(${url});`];
  return [
    ...opened,
    `stream.onmessage = (event) => console.log(event.lastEventId, event.data);`,
    `stream.addEventListener("a-type", (event) => console.log(event.data));`,
  ].join("\n");
}
