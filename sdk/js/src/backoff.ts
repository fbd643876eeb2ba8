// How long to wait before the next attempt.

/** No server may send a client away for longer, in milliseconds; WHATWG HTML sets no bound to `retry`. */
export const WAIT_MS_MAX = 3_600_000;

/**
 * Full jitter over a growing span, above what the server asked for. 9.2.3: "Wait a delay equal to the reconnection time of
 * the event source" and "Optionally, wait some more".
 */
export function pauseMs(failures: number, baseMs: number, capMs: number, askedMs: number): number {
  return Math.min(askedMs, WAIT_MS_MAX) + Math.random() * Math.min(capMs, baseMs * Math.pow(2, failures));
}

/** Retry-After in milliseconds, 0 where there is none (RFC 9110, section 10.2.3: seconds, or a date). */
export function retryAfterMs(value: string | null, nowMs: number): number {
  const ms = +value! * 1_000 || Date.parse(value!) - nowMs;
  return ms > 0 ? ms : 0;
}
