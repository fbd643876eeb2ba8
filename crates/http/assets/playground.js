// The playground page: subscribes, publishes, shows what arrives, and prints the same as lines to paste.
//
// It uses the public HTTP API only. What comes from the hub is only ever text: nothing here writes HTML.

import { authorization, beginAccess, hasToken, isKept, showNotWanted, showWanted, token, tokenFault } from "./access.js";
import { eventSourceSnippet, publishCurl, publishUrl, subscribeCurl, subscribeUrl } from "./addresses.js";
import { EventList, rowOf } from "./list.js";
import { Subscription, refusalOf } from "./stream.js";

const STUCK_AFTER_MS = 3_000;
const SAVED_AS = "tidewire.playground";
/** Where the hub is: here, also when a proxy shows it below a path. */
const HUB = new URL(".", location.href).href.replace(/\/$/, "");

const element = (id) => document.getElementById(id);

const list = new EventList();
/** The one that runs, with what it was asked for; or null. */
let running = null;
/** Whether some of what is shown came by a token. */
let isByToken = false;

function topicsAsked() {
  const topics = element("topics").value.split("\n").map((topic) => topic.replace(/\r$/, ""));
  return [...new Set(topics.filter((topic) => topic !== ""))];
}

function startAsked() {
  const start = element("start").value;
  return start === "id" ? { id: element("start-id").value } : { since: start };
}

function eventAsked() {
  const [topic, data, type, id] = ["topic", "data", "type", "id"].map((name) => element(name).value);
  return { topic, data, type, id, isPrivate: element("private").checked };
}

function showLines() {
  const topics = topicsAsked();
  element("start-id-field").hidden = element("start").value !== "id";
  element("subscribe-curl").textContent = topics.length > 0 ? subscribeCurl(HUB, topics, startAsked(), hasToken()) : "";
  element("event-source").textContent = topics.length > 0 ? eventSourceSnippet(HUB, topics, startAsked(), hasToken()) : "";
  const event = eventAsked();
  element("publish-curl").textContent = event.topic ? publishCurl(HUB, event, hasToken()) : "";
}

function notice(words) {
  element("notice").hidden = !words;
  element("notice").textContent = words ?? "";
}

const STUCK_WORDS =
  "No answer for 3 seconds. Over HTTP/1.1 a browser opens at most six connections to one hub, all its tabs together, and " +
  "every open stream takes one: close other tabs that show streams of this hub. Over HTTP/2 the limit is far away. If no " +
  "other tab is open, the hub or a proxy before it does not answer.";

/** Says so when nothing has come of a request for a while; the answer is called when something has. */
function watchStuck() {
  const timer = setTimeout(() => notice(STUCK_WORDS), STUCK_AFTER_MS);
  return () => {
    clearTimeout(timer);
    if (element("notice").textContent === STUCK_WORDS) notice(null);
  };
}

let endStuck = () => {};

function showState(state, words, { pauseMs = 0, isOfToken = false } = {}) {
  endStuck();
  endStuck = state === "connecting" ? watchStuck() : () => {};
  const seconds = Math.max(1, Math.round(pauseMs / 1_000));
  const texts = {
    idle: "not subscribed",
    connecting: "connecting",
    open: "connected",
    waiting: `cut off, again in ${seconds} s`,
    refused: "refused",
  };
  element("state").dataset.state = state;
  element("state").textContent = texts[state];
  if (state !== "connecting") notice(words);
  element("stop-button").disabled = !["connecting", "open", "waiting"].includes(state);
  if (state === "open") showNotWanted();
  if (!running) return;
  running.isWithoutRight = isOfToken;
  if (isOfToken) showWanted("subscribe", running.token !== "");
}

function showLastId(id) {
  element("last-id").textContent = id || "none";
}

/** Reads with the token that stands there now, until the next subscribe: another may be pasted to publish with. */
function subscribe(topics, start, lastId, by = token()) {
  running?.subscription.stop();
  const topic = topics.length === 1 ? topics[0] : "";
  const isRunning = () => running?.subscription === subscription;
  const subscription = new Subscription(subscribeUrl(HUB, topics, start), lastId, {
    headers: authorization(by),
    onState: (...state) => isRunning() && showState(...state),
    onEvent: (event) => isRunning() && list.add(rowOf(event, topic)),
    onId: (id) => isRunning() && showLastId(id),
  });
  running = { subscription, topics, start, token: by };
  isByToken ||= by !== "";
  showLastId(lastId);
  subscription.run();
}

function stop() {
  running?.subscription.stop();
  running = null;
  showState("idle");
}

/** With another token, after the last one was refused, the stream goes on where it was. */
function lastIdFor(topics, start) {
  const isSame = running?.isWithoutRight && JSON.stringify([running.topics, running.start]) === JSON.stringify([topics, start]);
  return isSame ? running.subscription.lastId : "";
}

/** Nothing stays that would tell what the token let one see. */
function forget() {
  if (running?.token) stop();
  if (isByToken) clear();
  showLines();
  save();
}

function clear() {
  list.clear();
  isByToken = Boolean(running?.token);
}

async function publish() {
  const result = element("published");
  const endWatch = watchStuck();
  const [event, by] = [eventAsked(), token()];
  try {
    const response = await fetch(publishUrl(HUB, event), {
      method: "POST",
      headers: { ...authorization(by), "Content-Type": "text/plain; charset=utf-8" },
      body: event.data,
    });
    result.classList.toggle("is-bad", !response.ok);
    if (response.ok) {
      result.textContent = `published as ${await response.text()}`;
    } else {
      const { words, isOfToken } = await refusalOf(response);
      result.textContent = words;
      if (isOfToken) showWanted("publish", by !== "");
    }
  } catch (error) {
    result.classList.add("is-bad");
    result.textContent = `The hub cannot be reached: ${error.message}`;
  } finally {
    endWatch();
  }
}

async function copy(button) {
  const source = element(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    // Without the clipboard (an http page that is not on localhost) the line is marked instead, for Ctrl-C.
    getSelection().selectAllChildren(source);
    button.textContent = "Press Ctrl-C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1_500);
}

// --- Over a reload --------------------------------------------------------------------------------------------------

/**
 * Rows and last id are written together, so whatever was saved last, the stream goes on right after the rows shown. What came by a
 * token is kept only where the token is.
 */
function save() {
  if (isByToken && !isKept()) return sessionStorage.removeItem(SAVED_AS);
  list.flush();
  const asked = running && { topics: running.topics, start: running.start, lastId: running.subscription.lastId };
  try {
    sessionStorage.setItem(SAVED_AS, JSON.stringify({ asked, isByToken, list: list.saved() }));
  } catch {
    // A browser that keeps nothing: a reload then begins anew.
    sessionStorage.removeItem(SAVED_AS);
  }
}

function savedState() {
  try {
    return JSON.parse(sessionStorage.getItem(SAVED_AS));
  } catch {
    return null;
  }
}

function begin() {
  const asked = new URLSearchParams(location.search).getAll("topic").filter((topic) => topic !== "");
  const saved = savedState();
  const topics = asked.length > 0 ? asked : (saved?.asked?.topics ?? ["clock"]);
  element("topics").value = topics.join("\n");
  element("topic").value = topics[0] === "*" ? "clock" : topics[0];
  showLines();
  const isSame = saved?.asked && saved.asked.topics.join("\n") === topics.join("\n");
  if (isSame) {
    list.restore(saved.list);
    isByToken = saved.isByToken;
    subscribe(topics, saved.asked.start, saved.asked.lastId);
  } else if (asked.length > 0) {
    subscribe(topics, startAsked(), "");
  }
}

function showInAddress(topics) {
  const query = topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&");
  history.replaceState(null, "", `${location.pathname}?${query}`);
}

element("subscribe").addEventListener("submit", (event) => {
  event.preventDefault();
  const topics = topicsAsked();
  if (topics.length === 0) return;
  if (tokenFault()) return notice(tokenFault());
  showInAddress(topics);
  subscribe(topics, startAsked(), lastIdFor(topics, startAsked()));
});
element("publish").addEventListener("submit", (event) => {
  event.preventDefault();
  if (tokenFault()) return notice(tokenFault());
  publish();
});
element("stop-button").addEventListener("click", stop);
element("clear-button").addEventListener("click", clear);
element("show-control").addEventListener("change", (event) => {
  element("events").classList.toggle("without-control", !event.target.checked);
});
for (const form of [element("subscribe"), element("publish")]) form.addEventListener("input", showLines);
for (const button of document.querySelectorAll("[data-copies]")) button.addEventListener("click", () => copy(button));

let countBefore = 0;
setInterval(() => {
  element("rate").textContent = Math.max(0, list.count - countBefore).toLocaleString("en");
  countBefore = list.count;
}, 1_000);
setInterval(() => running && save(), 2_000);
addEventListener("pagehide", save);
addEventListener("pageshow", (event) => {
  // Back from the browser's cache of pages: the stream was cut when the page left.
  if (event.persisted && running) subscribe(running.topics, running.start, running.subscription.lastId, running.token);
});
beginAccess({ onChange: showLines, onForget: forget });
begin();
