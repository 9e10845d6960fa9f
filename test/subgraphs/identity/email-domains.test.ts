import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import { activate, ALL, makeConnection, mutate, ownDomain, type ShownConnection } from './connection-world.ts';
import { openHostileIdp } from './hostile-idp.ts';
import {
  addUser,
  ask,
  codeOf,
  isAccepted,
  openIdentity,
  patch,
  type IdentityPlatform,
  type TestTenant,
} from './identity-platform.ts';

let world: IdentityPlatform;
/** What DNS says, by name; a text is the code of a fault. */
const dns = new Map<string, string[][] | string>();
beforeAll(async () => {
  world = await openIdentity();
  Object.assign(world.platform, {
    resolveTxt: async (name: string) => {
      const found = dns.get(name) ?? 'ENOTFOUND';
      if (typeof found === 'string') throw Object.assign(new Error(`queryTxt ${found}`), { code: found });
      return found;
    },
  });
});
beforeEach(() => {
  dns.clear();
  world.setNow(new Date());
});

interface Domain {
  readonly id: string;
  readonly domain: string;
  readonly verifiedAt: string | null;
  readonly missingSince: string | null;
  readonly record: { readonly type: string; readonly name: string; readonly value: string };
}

const DOMAIN = 'id domain verifiedAt missingSince ssoEnforced connectionId record { type name value }';
const add = async (tenant: TestTenant, domain: string) =>
  (
    await mutate<{ emailDomain: Domain }>(
      tenant,
      'addEmailDomain',
      'AddEmailDomainInput',
      { domain },
      `emailDomain { ${DOMAIN} }`,
    )
  ).emailDomain;
const run = (tenant: TestTenant, name: string, type: string, input: object, payload: string) =>
  ask(tenant.request(ALL), `mutation ($input: ${type}!) { ${name}(input: $input) { ${payload} } }`, { input });
const verify = (tenant: TestTenant, emailDomainId: string) =>
  run(tenant, 'verifyEmailDomain', 'EmailDomainInput', { emailDomainId }, `recordFound emailDomain { ${DOMAIN} }`);
const update = (tenant: TestTenant, input: object) =>
  run(tenant, 'updateEmailDomain', 'UpdateEmailDomainInput', input, `emailDomain { ${DOMAIN} }`);
const remove = (tenant: TestTenant, emailDomainId: string) =>
  run(tenant, 'removeEmailDomain', 'EmailDomainInput', { emailDomainId }, 'removedEmailDomainId');
const breakGlass = (tenant: TestTenant, name: 'addBreakGlassUser' | 'removeBreakGlassUser', userId: string) =>
  run(tenant, name, 'UserInput', { userId }, 'breakGlassUsers { userId namedBy }');
const owner = async (domain: string) =>
  (
    await world.platform.databases.directory.query<{ tenant_id: string }>(
      'select tenant_id from email_domains where domain = $1',
      [domain],
    )
  ).rows[0]?.tenant_id;
const setRecord = ({ record }: Domain) =>
  dns.set(record.name, [['v=spf1 -all'], [record.value.slice(0, 20), record.value.slice(20)]]);

/** Adds and proves a domain. */
async function prove(tenant: TestTenant, domain: string): Promise<Domain> {
  const claimed = await add(tenant, domain);
  setRecord(claimed);
  expect((await verify(tenant, claimed.id)).data).toMatchObject({ verifyEmailDomain: { recordFound: true } });
  return claimed;
}

describe('an e-mail domain', () => {
  it('is proven by a record of its own name, and nothing follows before', async () => {
    const domain = await add(world.acme, 'Proven.Example');
    expect(domain).toMatchObject({
      domain: 'proven.example',
      verifiedAt: null,
      record: {
        type: 'TXT',
        name: '_tenon-challenge.proven.example',
        value: expect.stringMatching(/^tenon-domain-verification=[\w-]{43}$/),
      },
    });
    dns.set(domain.record.name, [['tenon-domain-verification='], [`${domain.record.value}x`]]);
    const without = await verify(world.acme, domain.id);
    expect(without.data).toMatchObject({
      verifyEmailDomain: { recordFound: false, emailDomain: { verifiedAt: null } },
    });
    expect(await owner('proven.example')).toBeUndefined();
    setRecord(domain);
    expect((await verify(world.acme, domain.id)).data).toMatchObject({
      verifyEmailDomain: { recordFound: true, emailDomain: { verifiedAt: expect.any(String) } },
    });
    expect(await owner('proven.example')).toBe(uuidOf('tnt', world.acme.id));
    expect((await world.acme.events()).slice(-3).map(({ action, context }) => [action, context['record']])).toEqual([
      ['email_domain.add', undefined],
      ['email_domain.verify', 'missing'],
      ['email_domain.verify', 'found'],
    ]);
  });

  it('may be claimed by several, and is proven by one; the other learns nothing of whom', async () => {
    const [ours, theirs] = [await add(world.acme, 'shared.example'), await add(world.globex, 'shared.example')];
    expect(ours.record.value).not.toBe(theirs.record.value);
    setRecord(theirs);
    expect((await verify(world.acme, ours.id)).data).toMatchObject({ verifyEmailDomain: { recordFound: false } });
    await verify(world.globex, theirs.id);
    setRecord(ours);
    const refused = await verify(world.acme, ours.id);
    expect(codeOf(refused)).toBe('CONFLICT');
    expect(JSON.stringify(refused.errors)).not.toMatch(/globex|tnt_|tenant/i);
    expect(await owner('shared.example')).toBe(uuidOf('tnt', world.globex.id));
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'email_domain.verify',
      context: { record: 'found' },
    });
    await remove(world.globex, theirs.id);
    expect((await verify(world.acme, ours.id)).data).toMatchObject({ verifyEmailDomain: { recordFound: true } });
  });

  it('proven by two at the same moment goes to one', async () => {
    const claims = [await add(world.acme, 'race.example'), await add(world.globex, 'race.example')];
    dns.set(
      '_tenon-challenge.race.example',
      claims.map(({ record }) => [record.value]),
    );
    const answers = await Promise.all([
      verify(world.acme, claims[0]?.id ?? ''),
      verify(world.globex, claims[1]?.id ?? ''),
    ]);
    expect(new Set(answers.map(codeOf))).toEqual(new Set(['CONFLICT', null]));
  });

  it.each([
    '',
    'example',
    'a b.example',
    '-a.example',
    'example.com/path',
    'ex_ample.com',
    `${'a'.repeat(64)}.example`,
    '127.0.0.1',
  ])('is not claimed as %j', async (domain) => {
    expect(
      codeOf(await run(world.acme, 'addEmailDomain', 'AddEmailDomainInput', { domain }, 'emailDomain { id }')),
    ).toBe('BAD_USER_INPUT');
  });

  it('is claimed once', async () => {
    await add(world.acme, 'once.example');
    const input = { domain: 'ONCE.example' };
    expect(codeOf(await run(world.acme, 'addEmailDomain', 'AddEmailDomainInput', input, 'emailDomain { id }'))).toBe(
      'UNIQUENESS',
    );
  });

  it('stays as it is while DNS does not answer', async () => {
    const domain = await prove(world.acme, 'silent.example');
    dns.set(domain.record.name, 'ETIMEOUT');
    expect(codeOf(await verify(world.acme, domain.id))).toBe('SERVICE_UNAVAILABLE');
    expect(await owner('silent.example')).toBe(uuidOf('tnt', world.acme.id));
  });

  it('outlives its record by fourteen days, and is free for another then', async () => {
    const domain = await prove(world.acme, 'expiring.example');
    dns.clear();
    const missing = await verify(world.acme, domain.id);
    expect(missing.data).toMatchObject({
      verifyEmailDomain: {
        recordFound: false,
        emailDomain: { verifiedAt: expect.any(String), missingSince: expect.any(String) },
      },
    });
    world.setNow(new Date(Date.now() + 13 * 86_400_000));
    await verify(world.acme, domain.id);
    expect(await owner('expiring.example')).toBe(uuidOf('tnt', world.acme.id));
    setRecord(domain);
    expect((await verify(world.acme, domain.id)).data).toMatchObject({
      verifyEmailDomain: { emailDomain: { missingSince: null } },
    });
    dns.clear();
    await verify(world.acme, domain.id);
    world.setNow(new Date(Date.now() + (13 + 14) * 86_400_000 + 1000));
    expect((await verify(world.acme, domain.id)).data).toMatchObject({
      verifyEmailDomain: { emailDomain: { verifiedAt: null } },
    });
    expect((await world.acme.events()).at(-1)).toMatchObject({ action: 'email_domain.lapse' });
    expect(await owner('expiring.example')).toBeUndefined();
    await prove(world.globex, 'expiring.example');
  });

  it('given up leads nowhere any more', async () => {
    const domain = await prove(world.acme, 'given-up.example');
    expect((await remove(world.acme, domain.id)).data).toEqual({
      removeEmailDomain: { removedEmailDomainId: domain.id },
    });
    expect(await owner('given-up.example')).toBeUndefined();
    expect(codeOf(await remove(world.acme, domain.id))).toBe('NOT_FOUND');
  });

  it('that the directory knows as hers is proven when she claims it', async () => {
    await ownDomain(world, world.initech, 'known.example');
    expect((await add(world.initech, 'known.example')).verifiedAt).not.toBeNull();
    expect((await add(world.acme, 'known.example')).verifiedAt).toBeNull();
  });
});

describe('single sign-on that a domain enforces', () => {
  let connection: ShownConnection;
  let domain: Domain;
  let keeper: string;
  let other: string;
  const follow = async (userId: string) => {
    const token = await world.initech.issue({ kind: 'sign_in_link', userId });
    const response = await world.fetch(null, '/sso/link', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    });
    return { status: response.status, body: (await response.json()) as { token: string } };
  };
  const enforce = (ssoEnforced: boolean) => update(world.initech, { emailDomainId: domain.id, ssoEnforced });

  beforeAll(async () => {
    const idp = await openHostileIdp();
    domain = await add(world.initech, 'strict.example');
    keeper = await addUser(world.initech, 'keeper@strict.example');
    other = await addUser(world.initech, 'other@strict.example');
    connection = await makeConnection(world.initech, {
      name: 'Only',
      issuer: idp.issuer,
      clientId: 'x',
      clientSecret: 's',
    });
  });

  it('takes a proven domain, an active connection and somebody active for break-glass', async () => {
    const hints: unknown[] = [];
    const attempt = async () => {
      const answer = await enforce(true);
      hints.push(codeOf(answer) === null ? 'enforced' : answer.errors?.[0]?.message.split('. ').at(-1));
    };
    await attempt();
    setRecord(domain);
    await verify(world.initech, domain.id);
    await attempt();
    await activate(world.initech, connection.id);
    await attempt();
    expect((await breakGlass(world.initech, 'addBreakGlassUser', keeper)).data).toEqual({
      addBreakGlassUser: { breakGlassUsers: [{ userId: keeper, namedBy: world.initech.adminId }] },
    });
    await world.initech.scim('PATCH', `/Users/${keeper}`, patch({ op: 'replace', path: 'active', value: false }));
    await attempt();
    await world.initech.scim('PATCH', `/Users/${keeper}`, patch({ op: 'replace', path: 'active', value: true }));
    await attempt();
    expect(hints).toEqual([
      expect.stringContaining('proven first'),
      expect.stringContaining('active connection'),
      expect.stringContaining('break-glass'),
      expect.stringContaining('break-glass'),
      'enforced',
    ]);
  });

  it('refuses every way of our own to its people, but not to those of other domains', async () => {
    expect((await follow(other)).status).toBe(401);
    expect((await world.initech.events()).at(-1)).toMatchObject({
      action: 'sign_in.refuse',
      context: { reason: 'sso_enforced' },
    });
    const guest = await addUser(world.initech, 'guest@elsewhere.example');
    expect((await follow(guest)).status).toBe(200);
  });

  it('lets somebody for break-glass in, and says so loudly each time', async () => {
    const { status, body } = await follow(keeper);
    expect([status, await isAccepted(world, body.token)]).toEqual([200, true]);
    const events = (await world.initech.events()).slice(-2);
    expect(events.map(({ action, resource }) => [action, resource.type])).toEqual([
      ['break_glass.use', 'user'],
      ['session.create', 'session'],
    ]);
    await follow(keeper);
    const uses = (await world.initech.events()).filter(({ action }) => action === 'break_glass.use');
    expect(uses.map(({ resource }) => resource.id)).toEqual([keeper, keeper]);
  });

  it('keeps the last one for break-glass', async () => {
    expect(codeOf(await breakGlass(world.initech, 'removeBreakGlassUser', keeper))).toBe('CONFLICT');
    await breakGlass(world.initech, 'addBreakGlassUser', other);
    expect(codeOf(await breakGlass(world.initech, 'removeBreakGlassUser', keeper))).toBeNull();
    expect((await follow(keeper)).status).toBe(401);
    expect(codeOf(await breakGlass(world.initech, 'removeBreakGlassUser', keeper))).toBe('NOT_FOUND');
  });

  it('ends when it is lifted', async () => {
    await enforce(false);
    expect((await follow(keeper)).status).toBe(200);
    expect((await world.initech.events()).filter(({ action }) => action === 'break_glass.use')).toHaveLength(2);
  });

  it('names at most ten people', async () => {
    const answers: unknown[] = [];
    for (let number = 0; number < 10; number += 1)
      answers.push(
        codeOf(await breakGlass(world.initech, 'addBreakGlassUser', await addUser(world.initech, `keeper ${number}`))),
      );
    expect(answers).toEqual([...Array.from({ length: 9 }, () => null), 'TOO_MANY']);
  });
});

describe('GET /sso?email=', () => {
  let connection: ShownConnection;
  let second: ShownConnection;
  beforeAll(async () => {
    const idp = await openHostileIdp();
    const settings = { issuer: idp.issuer, clientId: 'x', clientSecret: 's' };
    connection = await makeConnection(world.globex, { ...settings, name: 'Oldest' });
    second = await makeConnection(world.globex, { ...settings, name: 'Newer' });
    await ownDomain(world, world.globex, 'globex.example');
  });
  const begin = (email: string, accept: string, more = '') =>
    world.fetch(null, `/sso?email=${encodeURIComponent(email)}${more}`, { headers: { accept }, redirect: 'manual' });
  const urlFor = async (email: string) => {
    const response = await begin(email, 'application/json');
    return [response.status, ((await response.json()) as { url?: string }).url] as const;
  };

  it('is the mailed link as long as no connection is active', async () => {
    expect(await urlFor('ada@globex.example')).toEqual([202, undefined]);
    await activate(world.globex, second.id);
    await activate(world.globex, connection.id);
  });

  it('leads to the oldest active connection, known or not, as JSON or as a redirect', async () => {
    const start = (email: string) => `${connection.oidc.initiateLoginUri}?login_hint=${encodeURIComponent(email)}`;
    for (const email of ['ada@globex.example', 'nobody@GLOBEX.example']) {
      expect(await urlFor(email)).toEqual([200, start(email)]);
      const response = await begin(email, 'text/html');
      expect([response.status, response.headers.get('location')]).toEqual([302, start(email)]);
    }
  });

  it('leads to the connection of the domain where there is one, and passes it over while it is not active', async () => {
    const { id } = await add(world.globex, 'globex.example');
    await update(world.globex, { emailDomainId: id, connectionId: second.id });
    expect((await urlFor('ada@globex.example'))[1]).toContain(second.id);
    await mutate(
      world.globex,
      'disableIdentityConnection',
      'IdentityConnectionInput',
      { connectionId: second.id },
      'connection { id }',
    );
    expect((await urlFor('ada@globex.example'))[1]).toContain(connection.id);
    await update(world.globex, { emailDomainId: id, connectionId: null });
  });

  it('is the mailed link for whoever asks for it', async () => {
    expect((await begin('ada@globex.example', 'application/json', '&method=link')).status).toBe(202);
  });

  it('is the same for a domain without a connection and one that nobody has proven, in words and in pace', async () => {
    await ownDomain(world, world.acme, 'quiet.example');
    for (const accept of ['application/json', 'text/html']) {
      const answers = [];
      for (const email of ['ada@quiet.example', 'ada@unknown.example']) {
        const startedMs = performance.now();
        const response = await begin(email, accept);
        answers.push([response.status, await response.text()]);
        expect(performance.now() - startedMs).toBeGreaterThanOrEqual(99);
      }
      expect(answers[0]).toEqual(answers[1]);
      expect(answers[0]?.[0]).toBe(202);
    }
  });

  it('carries on what the app waits for', async () => {
    const response = await begin('ada@globex.example', 'text/html', '&redirect_uri=https://evil.example/');
    expect(response.status).toBe(400);
  });
});
