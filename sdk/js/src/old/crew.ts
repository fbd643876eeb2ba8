// Old browsers have no Web Locks: each page reads for itself.

export type { Crew } from "../crew";

export function canShare(): boolean {
  return false;
}

export function newCrew(): undefined {
  return undefined;
}
