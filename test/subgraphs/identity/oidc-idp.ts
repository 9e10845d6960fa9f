import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { Provider } from 'oidc-provider';
import { afterAll } from 'vitest';

/** A person whom the identity provider knows; the claims are beside `sub`, which is her login. */
export type Account = Readonly<Record<string, unknown>>;

/** What the identity provider is told of one client. */
export interface TestClient {
  readonly client_id: string;
  readonly client_secret: string;
  readonly redirect_uris: string[];
  readonly backchannel_logout_uri?: string;
  readonly backchannel_logout_session_required?: boolean;
}

/** The real `oidc-provider` on a port of its own. */
export interface TestIdp {
  readonly issuer: string;
  /** By login. */
  readonly accounts: Map<string, Account>;
  /** Starts it anew with these clients; keys and sessions stay. */
  setClients(clients: readonly TestClient[]): void;
  /** From now on it signs with another key, and shows that one alone. */
  rotateKeys(): Promise<void>;
  /** How often it was asked for its keys. */
  keyRequests(): number;
}

/** Starts it; it is closed when the test file ends. `ownServer` is where addresses of the platform really lie. */
export async function openIdp({
  publicUrl,
  ownServer,
}: {
  readonly publicUrl: string;
  readonly ownServer: string;
}): Promise<TestIdp> {
  const accounts = new Map<string, Account>();
  let handler: RequestListener = (_req, res) => res.writeHead(503).end();
  let keyRequests = 0;
  const server = createServer((req, res) => {
    if (req.url === '/jwks') keyRequests += 1;
    handler(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let clients: readonly TestClient[] = [];
  let key = await signingKey('key-1');
  const restart = () => {
    handler = providerOf({ issuer, clients, key, accounts, publicUrl, ownServer }).callback();
  };
  return {
    issuer,
    accounts,
    setClients: (wanted) => {
      clients = wanted;
      restart();
    },
    rotateKeys: async () => {
      key = await signingKey(`key-${Math.random()}`);
      restart();
    },
    keyRequests: () => keyRequests,
  };
}

async function signingKey(kid: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, use: 'sig', alg: 'RS256' };
}

interface Making {
  readonly issuer: string;
  readonly clients: readonly TestClient[];
  readonly key: JWK;
  readonly accounts: ReadonlyMap<string, Account>;
  readonly publicUrl: string;
  readonly ownServer: string;
}

function providerOf({ issuer, clients, key, accounts, publicUrl, ownServer }: Making): Provider {
  return new Provider(issuer, {
    clients: clients.map((client) => ({ ...client, response_types: ['code'], grant_types: ['authorization_code'] })),
    jwks: { keys: [key] },
    cookies: { keys: ['test'] },
    claims: { openid: ['sub', 'sid'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'email', 'profile', 'groups'],
    features: { backchannelLogout: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    findAccount: (_ctx, sub) => {
      const claims = accounts.get(sub);
      return claims === undefined ? undefined : { accountId: sub, claims: () => ({ sub, ...claims }) };
    },
    // Its own dispatcher keeps from loopback, where the platform of the test lies.
    fetch: (url, init = {}) => {
      const { dispatcher: _, ...rest } = init as RequestInit & { dispatcher?: unknown };
      const address = url instanceof Request ? url.url : url.toString();
      return fetch(address.replace(publicUrl, ownServer), rest);
    },
  });
}

/** A browser: follows redirects one at a time and keeps cookies by host. */
export interface Browser {
  /** Sends a request and returns the answer as it comes, redirects included. */
  fetch(url: string, init?: RequestInit): Promise<Response>;
  /** Follows redirects and fills in the forms of the identity provider until the address begins with `until`. */
  goOn(url: string, step: { readonly login: string; readonly until: string }): Promise<string>;
}

/** Opens a browser to which the platform at `ownServer` is known as `publicUrl`. */
export function openBrowser({
  publicUrl,
  ownServer,
}: {
  readonly publicUrl: string;
  readonly ownServer: string;
}): Browser {
  const jars = new Map<string, Map<string, string>>();
  const send: Browser['fetch'] = async (url, init = {}) => {
    const { origin } = new URL(url);
    const jar = jars.get(origin) ?? new Map<string, string>();
    jars.set(origin, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url.replace(publicUrl, ownServer), {
      redirect: 'manual',
      ...init,
      headers: { accept: 'text/html', cookie, ...(init.headers as Record<string, string>) },
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const at = pair.indexOf('=');
      jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return response;
  };
  const goOn: Browser['goOn'] = async (from, { login, until }) => {
    let url = from;
    for (let steps = 0; steps < 20; steps += 1) {
      if (url.startsWith(until)) return url;
      const response = await send(url);
      const location = response.headers.get('location') ?? (await submit(send, { url, response, login }));
      url = new URL(location, url).href;
    }
    throw new Error(`the browser went round in circles, last at ${url}`);
  };
  return { fetch: send, goOn };
}

async function submit(
  send: Browser['fetch'],
  { url, response, login }: { readonly url: string; readonly response: Response; readonly login: string },
): Promise<string> {
  const html = await response.text();
  const action = /<form[^>]* action="([^"]+)"/.exec(html)?.[1];
  const prompt = /name="prompt" value="(\w+)"/.exec(html)?.[1];
  if (action === undefined || prompt === undefined) throw new Error(`no form at ${url}: ${response.status} ${html}`);
  const body = new URLSearchParams({ prompt, ...(prompt === 'login' ? { login, password: 'any' } : {}) });
  const answer = await send(new URL(action, url).href, { method: 'POST', body });
  return answer.headers.get('location') ?? '';
}
