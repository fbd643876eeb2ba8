// event-source-polyfill, included in the page as its README says. `show` is the driver's.

const source = new EventSourcePolyfill(url);
for (const type of ["message", ...types]) {
  source.addEventListener(type, ({ lastEventId, type, data }) => show({ id: lastEventId, type, data }));
}
