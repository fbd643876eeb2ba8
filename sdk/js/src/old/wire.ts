// One request, its answer read while it comes: by fetch where its body can be read piece by piece, else by XMLHttpRequest.

import { send as sendByFetch, Send } from "../wire";

export type { Answer, Request, Send } from "../wire";

/** XMLHttpRequest keeps all it has read: a stream begins anew after so much text. */
const TEXT_MAX = 1 << 21;

function canStream(): boolean {
  return typeof fetch === "function" && typeof ReadableStream === "function" && typeof TextDecoder === "function" && typeof AbortController === "function";
}

const sendByXhr: Send = (request, answer) => {
  const xhr = new XMLHttpRequest();
  let isOver = false;
  let seen = -1;

  function look(): void {
    if (isOver || xhr.readyState < 3 || !xhr.status) return;
    if (seen < 0) {
      seen = 0;
      answer._head(xhr.status, (name) => xhr.getResponseHeader(name));
    }
    let text = "";
    try {
      text = xhr.responseText;
    } catch (_) {
      // The oldest have it only at the end.
    }
    const piece = text.slice(seen);
    seen = text.length;
    if (!isOver && piece) answer._text(piece);
  }

  function end(): void {
    if (isOver) return;
    isOver = true;
    xhr.abort();
    answer._end();
  }

  xhr.open("GET", request._url, true);
  for (const name in request._headers) xhr.setRequestHeader(name, request._headers[name]);
  xhr.withCredentials = request._withCredentials;
  xhr.onreadystatechange = () => {
    look();
    if (xhr.readyState === 4 || seen > TEXT_MAX) end();
  };
  xhr.send();
  return () => {
    isOver = true;
    xhr.abort();
  };
};

export const send: Send = (request, answer) => (canStream() ? sendByFetch : sendByXhr)(request, answer);
