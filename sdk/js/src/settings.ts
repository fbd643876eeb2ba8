// What a page may ask for beyond EventSource, and what holds where it does not.

/** Why a token is asked for. */
export type TokenReason = "open" | "expiring" | "refused";

/** Every member may be left out. All times are in milliseconds. */
export interface TidewireSourceInit {
  /** As in EventSource: send cookies to another origin. */
  withCredentials?: boolean;
  /** Called for the first connection, before a token ends and after one was refused; its result goes into `Authorization`. */
  token?: (why: TokenReason) => string | Promise<string>;
  /** Begin after this event. */
  lastEventId?: string;
  /** Keep the last event id over reloads of this tab; a string tells sources of the same URL apart. */
  resume?: boolean | string;
  /**
   * Read over one connection with every other tab of this browser. On by default, for hubs; with `token` only if it is a
   * string, the same wherever the token is the same person's.
   */
  share?: boolean | string;
  /** A connection that is silent for so long is given up: 45,000 for hubs, whose heartbeat is 15 s; else never. */
  silenceMs?: number;
  /** A hub's stream that has not begun after so long is held back on its way, and the next form is tried: 10,000. */
  openMs?: number;
  /** The pause before the first retry is up to this: 1,000; each further one up to twice the one before. */
  backoffMs?: number;
  /** No pause is longer, unless the server asks for it: 30,000. */
  backoffMaxMs?: number;
  /** How often the tab that reads tells the others that it lives: 5,000. */
  beatMs?: number;
  /** A tab that reads and is hidden for so long hands over to one that is seen: 30,000. */
  hiddenMs?: number;
}

export type Settings = Required<Omit<TidewireSourceInit, "token" | "share" | "resume" | "lastEventId">> & TidewireSourceInit;

export function settle(init: TidewireSourceInit, isHub: boolean): Settings {
  const settings: any = {
    withCredentials: false,
    silenceMs: isHub ? 45_000 : Infinity,
    openMs: 10_000,
    backoffMs: 1_000,
    backoffMaxMs: 30_000,
    beatMs: 5_000,
    hiddenMs: 30_000,
  };
  // What is undefined was not asked for.
  for (const name in init) settings[name] = (init as any)[name] ?? settings[name];
  return settings;
}
