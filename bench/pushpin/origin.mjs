// The origin that Pushpin asks what to do with a request: it answers "hold this open, on the channel of its path".
import { createServer } from "node:http";

const server = createServer((request, response) => {
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "grip-hold": "stream",
    "grip-channel": request.url.slice(1),
  });
  response.end();
});

server.keepAliveTimeout = 600_000;
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening http://127.0.0.1:${server.address().port}`);
});
