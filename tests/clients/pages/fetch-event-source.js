// @microsoft/fetch-event-source with the error handling of its README. `show` is the driver's.

import { EventStreamContentType, fetchEventSource } from "/modules/@microsoft/fetch-event-source/lib/esm/index.js";

class RetriableError extends Error {}
class FatalError extends Error {}

fetchEventSource(url, {
  async onopen(response) {
    if (response.ok && response.headers.get("content-type") === EventStreamContentType) return;
    if (response.status >= 400 && response.status < 500 && response.status !== 429) throw new FatalError();
    throw new RetriableError();
  },
  onmessage({ id, event, data }) {
    show({ id, type: event, data });
  },
  onclose() {
    throw new RetriableError();
  },
  onerror(error) {
    if (error instanceof FatalError) throw error;
  },
});
