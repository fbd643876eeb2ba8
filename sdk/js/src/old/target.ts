// An EventTarget for browsers whose own cannot be inherited from, or is missing: the part of the DOM standard, section 2.7,
// that holds without a tree.

type Listener = ((event: any) => void) | { handleEvent(event: any): void };

interface Entry {
  type: string;
  listener: Listener;
  once: boolean;
  isGone?: boolean;
}

export class Target {
  private _entries: Entry[] = [];

  addEventListener(type: string, listener: Listener | null, options?: any): void {
    // 2.7: "If listener's callback is null, then return"; a listener that is there already is not added again.
    if (!listener || this._entries.some((entry) => entry.type === type && entry.listener === listener)) return;
    this._entries.push({ type, listener, once: !!(options && options.once) });
  }

  removeEventListener(type: string, listener: Listener | null): void {
    this._entries = this._entries.filter((entry) => {
      if (entry.type !== type || entry.listener !== listener) return true;
      entry.isGone = true;
      return false;
    });
  }

  dispatchEvent(event: any): boolean {
    event.target = event.currentTarget = this;
    // 2.9: listeners added meanwhile are not called for this event, those removed meanwhile neither.
    for (const entry of this._entries.slice()) {
      if (entry.type !== event.type || entry.isGone) continue;
      if (entry.once) this.removeEventListener(entry.type, entry.listener);
      try {
        if (typeof entry.listener === "function") entry.listener.call(this, event);
        else entry.listener.handleEvent(event);
      } catch (error) {
        // 2.9: "Report exception": the others are called all the same.
        setTimeout(() => {
          throw error;
        }, 0);
      }
    }
    return true;
  }
}

export function makeEvent(type: string): any {
  return { type };
}

export function makeMessage(type: string, init: { [name: string]: unknown }): any {
  return { type, data: init.data, lastEventId: init.lastEventId, origin: init.origin };
}

/** An anchor knows its address; what it cannot resolve shows when it is asked for. */
function anchor(url: string): HTMLAnchorElement {
  const link = document.createElement("a");
  link.href = url;
  return link;
}

export function resolve(url: string): string {
  return anchor(url).href;
}

export function originOf(url: string): string {
  const { protocol, host } = anchor(url);
  return protocol + "//" + host;
}

export function promised(call: () => any, then: (value: any) => void, fail: (error: any) => void): void {
  let given;
  try {
    given = call();
  } catch (error) {
    return fail(error);
  }
  if (given && given.then) given.then(then, fail);
  else then(given);
}
