import dns from 'node:dns';
import { createServer, type RequestListener } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkOutgoingUrl, isPrivateAddress, outgoingFetch, type OutgoingSettings } from '#kit/outgoing-http.ts';

const EMBEDDED: OutgoingSettings = { config: { profile: 'embedded', outgoingPrivate: null } };
const PRODUCTION: OutgoingSettings = { config: { profile: 'production', outgoingPrivate: null } };
const INSIDE: OutgoingSettings = { config: { profile: 'production', outgoingPrivate: 'allow' } };
const WALLED: OutgoingSettings = { config: { profile: 'embedded', outgoingPrivate: 'refuse' } };

let url: string;
let handle: RequestListener;
const server = createServer((req, res) => handle(req, res));
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));

describe('a request to an address that a tenant named', () => {
  it('brings back status, headers and body of whatever comes', async () => {
    handle = (req, res) => {
      res.writeHead(418, { 'content-type': 'text/plain', 'x-of': [req.method, req.headers['x-mine']].join(' ') });
      req.pipe(res);
    };
    const answer = await outgoingFetch(EMBEDDED, url, { method: 'POST', headers: { 'x-mine': 'here' }, body: 'sent' });
    expect([answer.status, answer.headers.get('x-of'), await answer.text()]).toEqual([418, 'POST here', 'sent']);
  });

  it('follows no redirect', async () => {
    handle = (_req, res) => res.writeHead(302, { location: 'http://169.254.169.254/' }).end();
    const answer = await outgoingFetch(EMBEDDED, url);
    expect([answer.status, answer.headers.get('location')]).toEqual([302, 'http://169.254.169.254/']);
  });

  it('takes no more than it was told, whether the length is said or not', async () => {
    handle = (req, res) => {
      if (req.url === '/said') res.writeHead(200, { 'content-length': 1001 });
      res.write('x'.repeat(501));
      res.end('x'.repeat(500));
    };
    for (const path of ['/said', '/unsaid']) {
      await expect(outgoingFetch(EMBEDDED, `${url}${path}`, { maxBytes: 1000 })).rejects.toMatchObject({
        code: 'SERVICE_UNAVAILABLE',
      });
      expect((await (await outgoingFetch(EMBEDDED, `${url}${path}`, { maxBytes: 1001 })).text()).length).toBe(1001);
    }
  });

  it('does not wait longer than it was told, before the answer or in the middle of it', async () => {
    handle = (req, res) => {
      if (req.url === '/half') res.write('half');
    };
    for (const path of ['/never', '/half'])
      await expect(outgoingFetch(EMBEDDED, `${url}${path}`, { timeoutMs: 100 })).rejects.toMatchObject({
        code: 'SERVICE_UNAVAILABLE',
      });
  });

  it('to where nobody listens is an answer too', async () => {
    await expect(outgoingFetch(EMBEDDED, 'http://127.0.0.1:1/')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });
});

const PRIVATE = [
  'https://127.0.0.1/',
  'https://127.255.255.254/',
  'https://0x7f.1/',
  'https://2130706433/',
  'https://0/',
  'https://localhost/',
  'https://LOCALHOST./',
  'https://idp.localhost/',
  'https://169.254.169.254/latest/meta-data/',
  'https://10.0.0.1/',
  'https://172.16.0.1/',
  'https://172.31.255.255/',
  'https://192.168.1.1/',
  'https://100.64.0.1/',
  'https://198.18.0.1/',
  'https://224.0.0.1/',
  'https://255.255.255.255/',
  'https://[::]/',
  'https://[::1]/',
  'https://[::ffff:169.254.169.254]/',
  'https://[::ffff:7f00:1]/',
  'https://[64:ff9b::7f00:1]/',
  'https://[2002:7f00:1::]/',
  'https://[fd00::1]/',
  'https://[fe80::1]/',
  'https://[ff02::1]/',
];

describe('in production', () => {
  it.each(PRIVATE)('%s is refused', async (address) => {
    await expect(outgoingFetch(PRODUCTION, address)).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    expect(() => checkOutgoingUrl(PRODUCTION, address)).toThrow(expect.objectContaining({ code: 'BAD_USER_INPUT' }));
  });

  it.each([
    'http://example.com/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'https://a:b@example.com/',
    'nonsense',
    '',
  ])('%j is refused, even where private addresses are allowed', (address) => {
    for (const settings of [PRODUCTION, INSIDE])
      expect(() => checkOutgoingUrl(settings, address)).toThrow(expect.objectContaining({ code: 'BAD_USER_INPUT' }));
  });

  it.each(['https://login.example.com/', 'https://8.8.8.8/', 'https://172.32.0.1/', 'https://[2606:4700::1111]/'])(
    '%s is taken',
    (address) => {
      expect(checkOutgoingUrl(PRODUCTION, address).href).toBe(address);
    },
  );

  it('private addresses are taken where the settings allow them', () => {
    for (const address of ['https://10.0.0.1/', 'https://[fd00::1]/'])
      expect(checkOutgoingUrl(INSIDE, address).href).toBe(address);
  });
});

describe('a name', () => {
  const real = dns.lookup;
  afterEach(() => {
    dns.lookup = real;
    syncBuiltinESMExports();
  });
  const resolveTo = (...addresses: string[]) => {
    const asked: string[] = [];
    const fake = (name: string, _options: object, callback: (error: null, found: object[]) => void) => {
      asked.push(name);
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    };
    dns.lookup = fake as unknown as typeof dns.lookup;
    syncBuiltinESMExports();
    return asked;
  };

  it.each([[['127.0.0.1']], [['169.254.169.254']], [['::1']], [['8.8.8.8', '10.0.0.1']], [[]]])(
    'that leads to %j is refused before anything is sent',
    async (addresses) => {
      let requests = 0;
      handle = (_req, res) => {
        requests += 1;
        res.end();
      };
      const asked = resolveTo(...addresses);
      const named = url.replace('127.0.0.1', 'idp.example.com');
      await expect(outgoingFetch(WALLED, named)).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
      expect([asked, requests]).toEqual([['idp.example.com'], 0]);
    },
  );
});

describe('isPrivateAddress', () => {
  it('knows texts that are no address as such', () => {
    expect(['', 'example.com', '1.2.3', '[::1]'].map(isPrivateAddress)).toEqual([false, false, false, false]);
  });
});
