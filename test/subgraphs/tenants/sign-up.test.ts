import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { openHouse, type House } from '../../support/house.ts';
import { withClient } from '../../support/postgres.ts';

let now = new Date('2026-07-01T09:00:00Z');
const house = await openHouse({ env: { TENON_SIGN_UP: 'open' }, clock: () => now });
const REQUEST = {
  slug: 'umbrella',
  name: 'Umbrella',
  region: 'us',
  email: 'alice@umbrella.example',
  adminName: 'Alice',
};

it('makes a free tenant on trial for whoever opens the link that was mailed to her, and nothing before', async () => {
  expect((await post(house, '/v1/sign-up', REQUEST)).status).toBe(202);
  expect(await slugs()).not.toContain('umbrella');
  const token = mailedToken('alice@umbrella.example');
  // A mail program that looks at links does nothing by it.
  const page = await house.fetch(null, `/v1/sign-up/confirm?token=${token}`);
  expect([page.status, await page.text()]).toEqual([200, expect.stringContaining(`value="${token}"`)]);
  expect(await slugs()).not.toContain('umbrella');
  const confirmed = await post(house, '/v1/sign-up/confirm', { token });
  const body = (await confirmed.json()) as { tenant: object; adminSignInUrl: string };
  expect([confirmed.status, body.tenant]).toEqual([
    201,
    expect.objectContaining({ slug: 'umbrella', state: 'trial', region: 'us' }),
  ]);
  expect(body.adminSignInUrl).toMatch(/^http:\/\/tenon\.test\/sso\/link\?token=tnl_/);
  const [contract] = await peek(
    'us-1',
    `select c.source, c.confirmed_at, c.trial_ends_at from tenant_contracts c join tenants t using (tenant_id) where t.slug = 'umbrella'`,
  );
  expect(contract).toEqual({
    source: 'self_service',
    confirmed_at: null,
    trial_ends_at: new Date('2026-07-15T09:00:00Z'),
  });
  // It works once.
  expect(await codeOf(post(house, '/v1/sign-up/confirm', { token }))).toBe('UNIQUENESS');
});

it('sends a browser on to her first sign-in', async () => {
  await post(house, '/v1/sign-up', { ...REQUEST, slug: 'hooli', email: 'gavin@hooli.example' });
  const token = mailedToken('gavin@hooli.example');
  const answer = await house.fetch(null, '/v1/sign-up/confirm', {
    method: 'POST',
    body: new URLSearchParams({ token }),
    redirect: 'manual',
  });
  expect([answer.status, answer.headers.get('location')]).toEqual([
    303,
    expect.stringContaining('/sso/link?token=tnl_'),
  ]);
});

it('says that a slug is taken only to whoever proved her address', async () => {
  const taken = await post(house, '/v1/sign-up', { ...REQUEST, slug: 'acme', email: 'eve@evil.example' });
  const free = await post(house, '/v1/sign-up', { ...REQUEST, slug: 'acme-free', email: 'eva@evil.example' });
  expect([taken.status, await taken.text()]).toEqual([free.status, await free.text()]);
  expect(await codeOf(post(house, '/v1/sign-up/confirm', { token: mailedToken('eve@evil.example') }))).toBe(
    'UNIQUENESS',
  );
});

it('takes no link that was altered or is a day old, and nothing malformed', async () => {
  await post(house, '/v1/sign-up', { ...REQUEST, slug: 'late', email: 'late@late.example' });
  const token = mailedToken('late@late.example');
  const altered = `${token.slice(0, -8)}${token.endsWith('AAAAAAAA') ? 'B' : 'A'.repeat(8)}`;
  expect(await codeOf(post(house, '/v1/sign-up/confirm', { token: altered }))).toBe('UNAUTHENTICATED');
  const then = now;
  now = new Date(now.getTime() + 24 * 3_600_000);
  expect(await codeOf(post(house, '/v1/sign-up/confirm', { token }))).toBe('UNAUTHENTICATED');
  now = then;
  for (const change of [{ slug: 'A!' }, { email: 'nobody' }, { region: 'mars' }, { name: '' }, { name: 7 }]) {
    expect(await codeOf(post(house, '/v1/sign-up', { ...REQUEST, ...change }))).toBe('BAD_USER_INPUT');
  }
});

it('mails an address three times a day at most, with the same answer, and stores no address', async () => {
  const request = { ...REQUEST, slug: 'often', email: 'often@often.example' };
  for (let count = 0; count < 5; count += 1) expect((await post(house, '/v1/sign-up', request)).status).toBe(202);
  expect(mailsTo('often@often.example')).toHaveLength(3);
  const rows = await peek('directory', 'select * from sign_up_attempts');
  expect(JSON.stringify(rows)).not.toContain('often');
});

it('stays shut unless the settings open it', { timeout: 30_000 }, async () => {
  const shut = await openHouse();
  expect(await codeOf(post(shut, '/v1/sign-up', REQUEST))).toBe('NOT_FOUND');
  expect(await codeOf(post(shut, '/v1/sign-up/confirm', { token: 's1.k2.AAAA' }))).toBe('NOT_FOUND');
  expect((await shut.fetch(null, '/v1/sign-up/confirm?token=a')).status).toBe(404);
});

function post(at: House, path: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json', 'x-request-id': mintId('req') };
  return at.fetch(null, path, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function codeOf(answer: Promise<Response>): Promise<unknown> {
  return ((await (await answer).json()) as { code?: string }).code;
}

function mailsTo(address: string): string[] {
  const folder = join(house.platform.config.home, 'mail');
  const files = existsSync(folder) ? readdirSync(folder).toSorted() : [];
  return files
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .filter((text) => text.includes(`To: ${address}`));
}

function mailedToken(address: string): string {
  const text = (mailsTo(address).at(-1) ?? '').replaceAll('=\n', '').replaceAll('=3D', '=');
  return /token=([\w.-]+)/.exec(text)?.[1] ?? '';
}

async function slugs(): Promise<string[]> {
  return (await peek<{ slug: string }>('directory', 'select slug from tenants')).map(({ slug }) => slug);
}

function peek<Row extends object>(store: 'directory' | 'us-1', text: string): Promise<Row[]> {
  return withClient(house.stores.url(store), async (client) => {
    await client.query('set search_path = app');
    return (await client.query<Row>(text)).rows;
  });
}
