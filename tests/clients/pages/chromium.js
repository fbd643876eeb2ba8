// The browser's own EventSource. `show` is the driver's.

const source = new EventSource(url);
for (const type of ["message", ...types]) {
  source.addEventListener(type, ({ lastEventId, type, data }) => show({ id: lastEventId, type, data }));
}
