import { mkdir, readdir, readFile, rm, stat, watch } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseToken } from '#kit/credential.ts';
import { uuidOf } from '#schema/ids.ts';
import { mailSignInLink } from '../../../subgraphs/identity/sign-in/sign-in-link.ts';
import { withClient } from '../../support/postgres.ts';
import { addUser, ask, isAccepted, openIdentity, type IdentityPlatform } from './identity-platform.ts';

let world: IdentityPlatform;
let folder: string;
beforeAll(async () => {
  world = await openIdentity();
  folder = join(world.platform.config.home, 'mail');
  await withClient(world.stores.url('directory'), (client) =>
    client.query(`insert into app.email_domains (domain, tenant_id) values ('acme.example', $1)`, [
      uuidOf('tnt', world.acme.id),
    ]),
  );
});
afterEach(async () => {
  world.setNow(new Date());
  await rm(folder, { recursive: true, force: true });
});

const ORIGIN = { requestId: 'req_test', ip: '203.0.113.7', ua: 'browser/1' };
function post(body: string, type = 'application/json'): Promise<Response> {
  return world.fetch(null, '/sso/link', { method: 'POST', headers: { 'content-type': type }, body });
}

/** Returns all messages, once `request` has been made and one more has come in. */
async function mailsAfter(request: () => Promise<unknown>): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const ended = new AbortController();
  const events = watch(folder, { signal: ended.signal });
  const arrival = (async () => {
    for await (const { filename } of events) if (filename?.endsWith('.eml') === true) return;
  })();
  await request();
  await arrival;
  ended.abort();
  return mails();
}

async function mails(): Promise<string[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.eml'));
  return Promise.all(names.toSorted().map((name) => readFile(join(folder, name), 'utf8')));
}

/** The link of a message, with the line breaks of quoted-printable taken out. */
function linkIn(mail: string | undefined): string {
  const plain = (mail ?? '').replaceAll(/=\r?\n/g, '').replaceAll('=3D', '=');
  return /token=(\S+)/.exec(plain)?.[1] ?? '';
}

describe('the one-time link of the first administrator', () => {
  it('opens a session that acts as her, for as long as the settings say', async () => {
    const token = new URL(world.globex.adminSignInUrl).searchParams.get('token') ?? '';
    const response = await post(JSON.stringify({ token }));
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const opened = (await response.json()) as { token: string; expiresAt: string; user: { id: string } };
    expect(opened.user).toEqual({ id: world.globex.adminId });
    const hours = (Date.parse(opened.expiresAt) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(11.9);
    expect(hours).toBeLessThanOrEqual(12);
    expect(await isAccepted(world, opened.token)).toBe(true);
    world.setNow(new Date(Date.parse(opened.expiresAt)));
    expect(await isAccepted(world, opened.token)).toBe(false);
    const event = (await world.globex.events()).at(-1);
    expect(event).toMatchObject({
      action: 'session.create',
      actor: { type: 'user', id: world.globex.adminId, ip: '127.0.0.1' },
      context: { user: world.globex.adminId, sign_in_link: expect.stringMatching(/^lnk_/) },
    });
    expect([event?.resource.id, JSON.stringify(event).includes(token.slice(-43))]).toEqual([event?.session_id, false]);
  });
});

describe('a one-time link', () => {
  let userId: string;
  beforeAll(async () => {
    userId = await addUser(world.acme, 'link@acme.example');
  });

  it('works once, as JSON or as a form', async () => {
    const link = await world.acme.issue({ kind: 'sign_in_link', userId });
    expect(
      (await post(new URLSearchParams({ token: link }).toString(), 'application/x-www-form-urlencoded')).status,
    ).toBe(200);
    const again = await post(JSON.stringify({ token: link }));
    expect([again.status, await again.json()]).toMatchObject([401, { code: 'UNAUTHENTICATED' }]);
  });

  it('used several times at the same moment opens one session', async () => {
    const link = await world.acme.issue({ kind: 'sign_in_link', userId });
    const answers = await Promise.all(Array.from({ length: 6 }, () => post(JSON.stringify({ token: link }))));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
  });

  it('is a page with a button for whoever opens it, which uses nothing up and gives nothing away', async () => {
    const link = await world.acme.issue({ kind: 'sign_in_link', userId });
    for (const method of ['GET', 'HEAD', 'GET']) {
      const response = await world.fetch(null, `/sso/link?token=${link}`, { method });
      expect(response.status).toBe(200);
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': expect.stringContaining("default-src 'none'; form-action 'self'"),
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
      });
      const html = await response.text();
      if (method === 'GET')
        expect(html).toContain(
          `<form method="post" action="/sso/link"><input type="hidden" name="token" value="${link}">`,
        );
      expect(html).not.toContain('<script');
    }
    expect((await post(JSON.stringify({ token: link }))).status).toBe(200);
  });

  it.each(['"><script>alert(1)</script>', '', 'tnl_x.y.z'])('of the form %j is no page', async (token) => {
    const response = await world.fetch(null, `/sso/link?token=${encodeURIComponent(token)}`);
    expect([response.status, (await response.text()).includes('script')]).toEqual([401, false]);
  });

  it('that is out of date, of another secret, of another tenant or of another kind opens nothing', async () => {
    const link = await world.acme.issue({ kind: 'sign_in_link', userId });
    const expired = await world.acme.issue({ kind: 'sign_in_link', userId, expiresAt: new Date(0) });
    const session = await world.acme.issue({ kind: 'session', userId });
    const wrong = [
      expired,
      session,
      link.replace(/.{43}$/, 'A'.repeat(43)),
      link.replace(world.acme.id.slice(4), world.initech.id.slice(4)),
      link.replace(world.acme.id.slice(4), '0'.repeat(26)),
      world.acme.scimToken,
    ];
    for (const token of wrong) expect((await post(JSON.stringify({ token }))).status).toBe(401);
    expect((await post(JSON.stringify({ token: link }))).status).toBe(200);
  });

  it.each([
    ['{"token":7}', 'application/json', 401],
    ['null', 'application/json', 400],
    ['{', 'application/json', 400],
    ['token', 'text/plain', 415],
    ['', 'application/x-www-form-urlencoded', 401],
  ])('sent as %j of type %s is answered with %i', async (body, type, status) => {
    expect((await post(body, type)).status).toBe(status);
  });

  it('stays unused while its tenant is deleted', async () => {
    const link = await world.acme.issue({ kind: 'sign_in_link', userId });
    const setState = (state: string) =>
      world.peek('eu-1', 'update tenants set state = $2 where tenant_id = $1', [uuidOf('tnt', world.acme.id), state]);
    await setState('soft_deleted');
    try {
      expect(await (await post(JSON.stringify({ token: link }))).json()).toMatchObject({
        status: 403,
        code: 'TENANT_SUSPENDED',
      });
      expect(
        await (await post(JSON.stringify({ token: link.replace(/.{43}$/, 'A'.repeat(43)) }))).json(),
      ).toMatchObject({ code: 'UNAUTHENTICATED' });
    } finally {
      await setState('active');
    }
    expect((await post(JSON.stringify({ token: link }))).status).toBe(200);
  });
});

const request = (email: string, accept = 'application/json') =>
  world.fetch(null, `/sso?email=${encodeURIComponent(email)}`, { headers: { accept } });

describe('whoever asks for a link', () => {
  it.each(['application/json', 'text/html'])('gets the same answer as %s, known or not', async (accept) => {
    await addUser(world.acme, `known.${accept.length}@acme.example`, {
      emails: [{ value: `known.${accept.length}@acme.example` }],
    });
    const answers: { status: number; headers: object; text: string }[] = [];
    const sent = await mailsAfter(async () => {
      for (const email of [
        `known.${accept.length}@acme.example`,
        'unknown@acme.example',
        'somebody@nowhere.example',
        'ada@globex.example',
      ]) {
        const response = await request(email, accept);
        const { 'x-request-id': _, date: __, ...headers } = Object.fromEntries(response.headers);
        answers.push({ status: response.status, headers, text: await response.text() });
      }
    });
    expect(answers).toEqual(Array(4).fill(answers[0]));
    expect(sent).toHaveLength(1);
    expect(answers[0]?.status).toBe(202);
  });

  it('gets it by mail, and it signs her in', async () => {
    await addUser(world.acme, 'grace', { emails: [{ value: 'Grace.Hopper@acme.example', primary: true }] });
    const [mail] = await mailsAfter(() => request('grace.hopper@ACME.example'));
    expect(mail).toMatch(/^To: Grace\.Hopper@acme\.example$/m);
    const response = await post(JSON.stringify({ token: linkIn(mail) }));
    expect(response.status).toBe(200);
    expect(((await response.json()) as { user: { id: string } }).user.id).toMatch(/^usr_/);
  });

  it('has it in a file that nobody else can read', async () => {
    await mailSignInLink(world.platform, 'ada@acme.example', ORIGIN);
    const [name] = await readdir(folder);
    expect((await stat(join(folder, name ?? ''))).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  });

  it('is recorded without her address', async () => {
    await mailSignInLink(world.platform, 'ada@acme.example', ORIGIN);
    const event = (await world.acme.events()).at(-1);
    expect(event).toMatchObject({
      action: 'sign_in_link.create',
      actor: { type: 'anonymous', id: null, ip: ORIGIN.ip, ua: ORIGIN.ua },
      resource: { type: 'sign_in_link', id: expect.stringMatching(/^lnk_/) },
      context: { user: world.acme.adminId },
      request_id: ORIGIN.requestId,
    });
    expect(JSON.stringify(event)).not.toContain('ada@');
  });

  it('has five that live for a quarter of an hour, and no more', async () => {
    await addUser(world.acme, 'eager', { emails: [{ value: 'eager@acme.example' }] });
    await Promise.all(Array.from({ length: 8 }, () => mailSignInLink(world.platform, 'eager@acme.example', ORIGIN)));
    const links = (await mails()).map(linkIn);
    expect(links).toHaveLength(5);
    expect((await post(JSON.stringify({ token: links[0] }))).status).toBe(200);
    await mailSignInLink(world.platform, 'eager@acme.example', ORIGIN);
    expect(await mails()).toHaveLength(6);
    world.setNow(new Date(Date.now() + 15 * 60_000));
    expect((await post(JSON.stringify({ token: links[1] }))).status).toBe(401);
    await mailSignInLink(world.platform, 'eager@acme.example', ORIGIN);
    expect(await mails()).toHaveLength(7);
  });

  it('gets none while she is inactive, in a domain that nobody has proven, or in a closed tenant', async () => {
    await addUser(world.acme, 'away', { active: false, emails: [{ value: 'away@acme.example' }] });
    await mailSignInLink(world.platform, 'away@acme.example', ORIGIN);
    await mailSignInLink(world.platform, 'ada@initech.example', ORIGIN);
    await addUser(world.initech, 'guest', { emails: [{ value: 'guest@acme.example' }] });
    await mailSignInLink(world.platform, 'guest@acme.example', ORIGIN);
    await world.peek('eu-1', `update tenants set state = 'soft_deleted' where tenant_id = $1`, [
      uuidOf('tnt', world.acme.id),
    ]);
    try {
      await expect(mailSignInLink(world.platform, 'ada@acme.example', ORIGIN)).rejects.toMatchObject({
        code: 'TENANT_SUSPENDED',
      });
    } finally {
      await world.peek('eu-1', `update tenants set state = 'active' where tenant_id = $1`, [
        uuidOf('tnt', world.acme.id),
      ]);
    }
    expect(await mails()).toEqual([]);
  });

  it.each([
    '',
    'no address',
    'a@b',
    'a@acme.example, b@evil.example',
    'a@acme.example\r\nBcc: b@evil.example',
    `${'a'.repeat(400)}@acme.example`,
  ])('is told what an address is where she sends %j', async (email) => {
    const response = await request(email);
    expect([response.status, await response.json()]).toMatchObject([400, { code: 'BAD_USER_INPUT' }]);
  });
});

describe('signing out', () => {
  const SIGN_OUT = 'mutation { signOut { signedOut } }';

  it('ends the session that asks, once', async () => {
    const token = await world.acme.issue({ kind: 'session', userId: world.acme.adminId });
    const ctx = world.acme.request([], { sessionId: `ses_${parseToken(token) === null ? '' : token.split('.')[1]}` });
    expect((await ask(ctx, SIGN_OUT)).data).toEqual({ signOut: { signedOut: true } });
    expect(await isAccepted(world, token)).toBe(false);
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'session.end',
      resource: { type: 'session', id: ctx.tenant.sessionId },
    });
    expect((await ask(ctx, SIGN_OUT)).data).toEqual({ signOut: { signedOut: false } });
    const ended = (await world.acme.events()).slice(-2);
    expect(ended.map(({ action }) => action)).toEqual(['session.end', 'mutation.unchanged']);
  });

  it('ends nothing for a key, and nothing of another tenant', async () => {
    const token = await world.acme.issue({ kind: 'session', userId: world.acme.adminId });
    const sessionId = `ses_${token.split('.')[1]}`;
    expect((await ask(world.acme.request([], { sessionId: null }), SIGN_OUT)).data).toEqual({
      signOut: { signedOut: false },
    });
    expect((await ask(world.initech.request([], { sessionId }), SIGN_OUT)).data).toEqual({
      signOut: { signedOut: false },
    });
    expect(await isAccepted(world, token)).toBe(true);
  });
});
