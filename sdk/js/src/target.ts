// What a source is a kind of, and what else every browser of today has. The old browsers' build has its own: old/target.ts.

export const Target = EventTarget;

export function makeEvent(type: string): Event {
  return new Event(type);
}

export function makeMessage(type: string, init: MessageEventInit): Event {
  return new MessageEvent(type, init);
}

/** 9.2.2: "Let urlRecord be the result of encoding-parsing a URL given url, relative to settings. If failure, SyntaxError". */
export function resolve(url: string): string {
  try {
    return new URL(url, self.document?.baseURI ?? location.href).href;
  } catch (_) {
    throw new DOMException(url + " is no URL", "SyntaxError");
  }
}

/** 9.2.6: the event's origin is "the serialization of the origin of the event stream's final URL"; we tell the URL's own. */
export function originOf(url: string): string {
  return new URL(url).origin;
}

/** Calls it, and then one of the two with what came of it, were it a promise or not. */
export function promised<T>(call: () => T | Promise<T>, then: (value: T) => void, fail: (error: any) => void): void {
  Promise.resolve().then(call).then(then, fail);
}
