// A real authorization server on loopback (npm oidc-provider), and an application that logs its users in there: authorization code
// flow with PKCE, the hub named as the resource (RFC 8707), rights asked for as authorization_details (RFC 9396).

import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";

import { listen } from "./hub.js";

const provider = await import("oidc-provider").catch(() => undefined);

/** A reason to skip, or false. */
export const NO_PROVIDER = provider ? false : "oidc-provider is not installed: npm ci";

const DETAIL = "https://mercure.rocks/authorization-detail";
const CLIENT = { id: "app", secret: "app-secret-of-the-test" };

const signingKey = (kid) => ({ ...generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "ES256" });

/** An issuer; `rotate` replaces its only key. */
export class Issuer {
  static async start(t) {
    const issuer = new Issuer();
    issuer.fetched = 0;
    issuer.server = createServer((request, response) => {
      if (request.url.endsWith("/jwks")) issuer.fetched += 1;
      issuer.answer(request, response);
    });
    issuer.url = `http://localhost:${await listen(t, issuer.server)}`;
    return issuer;
  }

  /** Serves from now on with this key alone; `redirect` is where the application gets its codes. */
  rotate(kid, redirect) {
    const quiet = console.warn;
    // It warns of what is meant for tests.
    console.warn = () => {};
    const { Provider } = provider;
    const server = new Provider(this.url, {
      clients: [{ client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: [redirect], grant_types: ["authorization_code"], response_types: ["code"], authorization_details_types: [DETAIL] }],
      jwks: { keys: [signingKey(kid)] },
      clientDefaults: { id_token_signed_response_alg: "ES256" },
      pkce: { required: () => true },
      findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      ttl: { AccessToken: 300, Grant: 300, Interaction: 300, Session: 300, IdToken: 300 },
      features: {
        devInteractions: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_ctx, resource) => ({ scope: "", audience: resource, accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } }),
        },
        richAuthorizationRequests: {
          enabled: true,
          types: { [DETAIL]: { validate: () => {} } },
          authorizationDetailsForGrantSource: (ctx) => JSON.parse(ctx.oidc.params.authorization_details),
          authorizationDetailsForAccessToken: (_ctx, _token, source) => source.rar,
        },
      },
    });
    console.warn = quiet;
    this.answer = server.callback();
  }
}

/** An application with users: `/login` sends them to the issuer, `/callback` takes them back and puts the token into the cookie. */
export class Application {
  static async start(t, { certificate, key, issuer, resource, topics }) {
    const application = new Application();
    Object.assign(application, { issuer, resource, topics, tokens: [], verifiers: new Map() });
    const server = createSecureServer({ cert: certificate, key }, (request, response) => {
      application.answer(new URL(request.url, application.url), response).catch((error) => {
        response.writeHead(500).end(String(error.stack));
      });
    });
    application.url = `https://localhost:${await listen(t, server)}`;
    return application;
  }

  get redirect() {
    return `${this.url}/callback`;
  }

  async answer(url, response) {
    switch (url.pathname) {
      case "/login":
        return response.writeHead(302, { location: this.authorization() }).end();
      case "/callback":
        this.tokens.push(await this.token(url.searchParams));
        // mercure.md, 2.30: the modern dialect's cookie.
        return response.writeHead(302, { location: "/", "set-cookie": `__Secure-mercure_access_token=${this.tokens.at(-1)}; Path=/; Secure; HttpOnly; SameSite=Strict` }).end();
      case "/":
        return response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>application</title>");
      default:
        return response.writeHead(404).end();
    }
  }

  authorization() {
    const [state, verifier] = [randomBytes(16), randomBytes(32)].map((bytes) => bytes.toString("base64url"));
    this.verifiers.set(state, verifier);
    const detail = { type: DETAIL, actions: ["subscribe"], topics: this.topics.map((match) => ({ match })) };
    return `${this.issuer.url}/auth?${new URLSearchParams({
      client_id: CLIENT.id,
      response_type: "code",
      scope: "openid",
      redirect_uri: this.redirect,
      state,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      resource: this.resource,
      authorization_details: JSON.stringify([detail]),
    })}`;
  }

  async token(answer) {
    const verifier = this.verifiers.get(answer.get("state"));
    if (!verifier || !answer.get("code")) throw new Error(`no code: ${answer}`);
    const response = await fetch(`${this.issuer.url}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}` },
      body: new URLSearchParams({
        grant_type: "authorization_code",
        code: answer.get("code"),
        redirect_uri: this.redirect,
        code_verifier: verifier,
        resource: this.resource,
      }),
    });
    const body = await response.json();
    if (!response.ok) throw new Error(`no token: ${JSON.stringify(body)}`);
    return body.access_token;
  }
}

/** A part of a token, unverified. */
export const part = (token, at) => JSON.parse(Buffer.from(token.split(".")[at], "base64url"));
