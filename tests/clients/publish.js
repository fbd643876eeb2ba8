// Publishing to a hub, also to one with a certificate of its own.

import { readFileSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { join } from "node:path";

/** Publishes one event and returns its id; `headers` and `query` say more of it. */
export function publish(hub, topic, data, { query = "", headers = {} } = {}) {
  const url = `${hub.url}/topics/${encodeURIComponent(topic)}${query}`;
  const isTls = hub.url.startsWith("https:");
  // Read each time: a hub that has never started has made none yet.
  const ca = isTls ? readFileSync(join(hub.folder, "data/tls-self-signed.crt")) : undefined;
  return new Promise((resolve, reject) => {
    const request = (isTls ? tlsRequest : plainRequest)(url, { method: "POST", headers, ca, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (more) => { text += more; }).on("error", reject).on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`publish: ${response.statusCode} ${text}`));
      });
    });
    request.on("error", reject).end(data);
  });
}
