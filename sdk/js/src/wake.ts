// When a page sleeps (frozen, or kept in the back/forward cache), wakes, is seen, and has a network again.

export interface WakeListener {
  /** The page is frozen, or left: nothing of it runs until it wakes, if ever. */
  _sleep(): void;
  _wake(): void;
  _online(): void;
  _seen(): void;
}

export function isSeen(): boolean {
  return self.document?.visibilityState === "visible";
}

/** Listens; what is returned ends that. */
export function onWake(on: WakeListener): () => void {
  const ends: (() => void)[] = [];
  // A worker has no document.
  const listen = (target: EventTarget | undefined, type: string, then: () => void) => {
    target?.addEventListener?.(type, then);
    ends.push(() => target?.removeEventListener?.(type, then));
  };
  listen(self, "pagehide", on._sleep);
  listen(self, "pageshow", on._wake);
  listen(self, "online", on._online);
  listen(self.document, "freeze", on._sleep);
  listen(self.document, "resume", on._wake);
  listen(self.document, "visibilitychange", on._seen);
  return () => ends.forEach((end) => end());
}
