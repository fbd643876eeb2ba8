// better-sse on Node's own HTTP server, one channel a topic: a peer of `cargo xtask bench fanout`. One process, one thread.
// Data is passed on as it is (the default would make JSON of it).
import { createServer } from "node:http";
import { createChannel, createSession } from "better-sse";

const channels = new Map();
let position = 0;

function channel(path) {
  let found = channels.get(path);
  if (!found) {
    found = createChannel();
    channels.set(path, found);
  }
  return found;
}

function publish(request, response) {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    position += 1;
    const data = Buffer.concat(parts).toString();
    channels.get(request.url)?.broadcast(data, "message", { eventId: `${position}` });
    response.writeHead(200, { "content-type": "text/plain" });
    response.end(`${position}`);
  });
}

const server = createServer(async (request, response) => {
  if (request.method === "POST") {
    publish(request, response);
    return;
  }
  const session = await createSession(request, response, { serializer: (data) => data });
  channel(request.url).register(session);
});

server.keepAliveTimeout = 600_000;
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening http://127.0.0.1:${server.address().port}`);
});
