// One request, its answer read while it comes. Here by fetch; what the old browsers' build does stands in old/wire.ts.

export interface Request {
  _url: string;
  _headers: { [name: string]: string };
  _withCredentials: boolean;
}

/** What becomes of a request. Something may still come after it was given up: who gave it up does not listen any more. */
export interface Answer {
  _head(status: number, header: (name: string) => string | null): void;
  _text(piece: string): void;
  _end(): void;
}

/** Sends it; what is returned gives it up. */
export type Send = (request: Request, answer: Answer) => () => void;

export const send: Send = (request, answer) => {
  const abort = new AbortController();
  const end = () => answer._end();
  // 9.2.2: "mode 'cors'", credentials "same-origin" or "include", and "cache mode 'no-store'".
  fetch(request._url, {
    headers: request._headers,
    credentials: request._withCredentials ? "include" : "same-origin",
    cache: "no-store",
    signal: abort.signal,
  }).then((response) => {
    answer._head(response.status, (name) => response.headers.get(name));
    const reader = response.body!.getReader();
    // 9.2.5: UTF-8, one leading BOM dropped, bad bytes replaced: what a TextDecoder does.
    const decoder = new TextDecoder();
    // Each piece's promise is let go: chained, an endless stream would keep them all.
    const next = () => {
      reader.read().then(({ done, value }) => {
        if (done) return end();
        answer._text(decoder.decode(value, { stream: true }));
        next();
      }, end);
    };
    next();
  }).catch(end);
  return () => abort.abort();
};
