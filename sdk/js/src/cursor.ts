// The last event id over reloads: in sessionStorage, so that each tab has its own.

const EVERY_MS = 1_000;

/** Reads, or writes. `tidewire` keeps the key apart from the page's own. */
export function cursor(key: string, id?: string): string | null | void {
  try {
    if (id === undefined) return sessionStorage.getItem("tidewire " + key);
    sessionStorage.setItem("tidewire " + key, id);
  } catch (_) {
    // Storage may be forbidden, or full.
  }
}

/** Writes what `read` says when the page is left, and now and then, for a tab may crash. Returns what ends it. */
export function keepCursor(key: string, read: () => string | undefined): () => void {
  let written: string | undefined;
  const write = () => {
    const id = read();
    if (id !== undefined && id !== written) cursor(key, (written = id));
  };
  const timer = setInterval(write, EVERY_MS);
  addEventListener("pagehide", write);
  return () => {
    write();
    clearInterval(timer);
    removeEventListener("pagehide", write);
  };
}
