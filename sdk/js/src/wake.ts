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
  const { document } = self;
  const listeners: [EventTarget, string, () => void][] = [
    [self, "pagehide", on._sleep],
    [self, "pageshow", on._wake],
    [self, "online", on._online],
    [document, "freeze", on._sleep],
    [document, "resume", on._wake],
    [document, "visibilitychange", on._seen],
  ];
  // A worker has no document.
  const each = (method: "addEventListener" | "removeEventListener") => listeners.forEach(([target, type, then]) => target?.[method](type, then));
  each("addEventListener");
  return () => each("removeEventListener");
}
