// The last event id over reloads: in sessionStorage, so that each tab has its own.

const EVERY_MS = 1_000;

/** Storage may be forbidden, or full. `tidewire` keeps the key apart from the page's own. */
function store(key: string, id?: string): string | null | void {
  try {
    if (id === undefined) return sessionStorage.getItem("tidewire " + key);
    sessionStorage.setItem("tidewire " + key, id);
  } catch (_) {}
}

export function loadCursor(key: string): string | undefined {
  return store(key) || undefined;
}

/** Writes what `read` says when the page is left, and now and then, for a tab may crash. Returns what ends it. */
export function keepCursor(key: string, read: () => string | undefined): () => void {
  let written: string | undefined;
  const write = () => {
    const id = read();
    if (id !== undefined && id !== written) store(key, (written = id));
  };
  const timer = setInterval(write, EVERY_MS);
  addEventListener("pagehide", write);
  return () => {
    write();
    clearInterval(timer);
    removeEventListener("pagehide", write);
  };
}
