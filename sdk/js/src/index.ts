// What the module gives to pages.

export { TidewireSource, TidewireSource as EventSource } from "./source";
export type { TidewireErrorEvent } from "./source";
export type { TidewireSourceInit, TokenReason } from "./settings";
