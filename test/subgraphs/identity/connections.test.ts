import { beforeAll, describe, expect, it } from 'vitest';
import { requestContext } from '#kit/request-context.ts';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import { uuidOf } from '#schema/ids.ts';
import type { Scope } from '#schema/scopes.ts';
import { activate, ALL, CONNECTION, makeConnection, mutate, type ShownConnection } from './connection-world.ts';
import { openHostileIdp, type HostileIdp } from './hostile-idp.ts';
import { addUser, ask, codeOf, openIdentity, type IdentityPlatform } from './identity-platform.ts';

let world: IdentityPlatform;
let idp: HostileIdp;
beforeAll(async () => {
  world = await openIdentity();
  idp = await openHostileIdp();
});

let made = 0;
const draft = (more: object = {}) =>
  makeConnection(world.acme, {
    name: `Connection ${(made += 1)}`,
    issuer: idp.issuer,
    clientId: 'tenon',
    clientSecret: 'never to be read',
    ...more,
  });
const run = (name: string, type: string, input: object, payload: string, scopes: readonly Scope[] = ALL) =>
  ask(world.acme.request(scopes), `mutation ($input: ${type}!) { ${name}(input: $input) { ${payload} } }`, { input });
const onConnection = (name: string, connectionId: string, payload = 'connection { id state version }') =>
  run(name, 'IdentityConnectionInput', { connectionId }, payload);
const update = (input: object) =>
  run('updateOidcConnection', 'UpdateOidcConnectionInput', input, `connection { ${CONNECTION} }`);
const show = async (id: string) =>
  (
    await ask(
      world.acme.request(['identity:read']),
      `query ($id: ID!) { identityConnection(id: $id) { ${CONNECTION} } }`,
      { id },
    )
  ).data as { identityConnection: ShownConnection | null };
const lastEvent = async () => (await world.acme.events()).at(-1);

/** Has the discovery document differ for the time of the work. */
async function whileDiscoverySays<T>(members: Record<string, unknown>, work: () => Promise<T>): Promise<T> {
  idp.discovery = members;
  try {
    return await work();
  } finally {
    idp.discovery = {};
  }
}

type Work = () => Promise<SubgraphResult>;

async function serving(serve: NonNullable<HostileIdp['serveDiscovery']>, work: Work): Promise<SubgraphResult> {
  idp.serveDiscovery = serve;
  try {
    return await work();
  } finally {
    idp.serveDiscovery = null;
  }
}

describe('a connection over OpenID Connect', () => {
  it('begins as a draft with what its identity provider must be told', async () => {
    const connection = await draft({ name: 'First' });
    const base = `http://tenon.test/sso/oidc/${world.acme.id}/${connection.id}`;
    expect(connection).toEqual({
      id: connection.id,
      name: 'First',
      kind: 'OIDC',
      state: 'DRAFT',
      version: 1,
      jit: false,
      defaultRoleId: null,
      groupsAttribute: null,
      oidc: {
        issuer: idp.issuer,
        clientId: 'tenon',
        hasClientSecret: true,
        scopes: ['openid', 'email', 'profile'],
        idTokenAlg: 'RS256',
        tokenAuth: 'client_secret_basic',
        emailClaim: 'email',
        emailVerifiedClaim: 'email_verified',
        nameClaim: 'name',
        authorizationParameters: [],
        redirectUri: `${base}/callback`,
        initiateLoginUri: `${base}/start`,
        backchannelLogoutUri: `${base}/logout`,
      },
    });
    expect(await lastEvent()).toMatchObject({
      action: 'identity_connection.create',
      resource: { type: 'identity_connection', id: connection.id, name: 'First' },
    });
    const events = JSON.stringify(await world.acme.events());
    const rows = JSON.stringify(await world.peek('eu-1', 'select * from identity_connections'));
    expect([events, rows].some((text) => text.includes('never to be read'))).toBe(false);
    expect((await world.fetch(null, new URL(`${base}/start`).pathname)).status).toBe(401);
  });

  it('has a name that no other has', async () => {
    await draft({ name: 'Taken' });
    const input = { name: 'Taken', issuer: idp.issuer, clientId: 'x' };
    expect(codeOf(await run('createOidcConnection', 'CreateOidcConnectionInput', input, 'connection { id }'))).toBe(
      'UNIQUENESS',
    );
  });

  it.each([
    ['issuer', 'not an address'],
    ['issuer', 'ftp://login.example'],
    ['issuer', 'https://login.example/?tenant=1'],
    ['issuer', 'https://user:password@login.example'],
    ['clientId', ''],
    ['clientId', 'a\nb'],
    ['scopes', ['email']],
    ['scopes', ['openid', 'a b']],
    ['idTokenAlg', 'none'],
    ['idTokenAlg', 'HS256'],
    ['tokenAuth', 'private_key_jwt'],
    ['name', ''],
    ['authorizationParameters', [{ name: 'redirect_uri', value: 'https://evil.example' }]],
    ['authorizationParameters', [{ name: 'state', value: 'x' }]],
    ['authorizationParameters', [{ name: 'a b', value: 'x' }]],
  ])('is not made with %s = %j', async (name, value) => {
    const input = { name: 'Odd', issuer: idp.issuer, clientId: 'tenon', [name]: value };
    expect(codeOf(await run('createOidcConnection', 'CreateOidcConnectionInput', input, 'connection { id }'))).toBe(
      'BAD_USER_INPUT',
    );
  });

  it('is tested without being activated, and says what is wrong', async () => {
    const connection = await draft();
    const findings = 'ok findings { check ok detail }';
    const good = await onConnection('testIdentityConnection', connection.id, findings);
    expect(good.data).toMatchObject({ testIdentityConnection: { ok: true } });
    const bad = await whileDiscoverySays(
      {
        jwks_uri: 'file:///etc/passwd',
        id_token_signing_alg_values_supported: ['ES256'],
        token_endpoint_auth_methods_supported: ['private_key_jwt'],
        response_types_supported: ['id_token'],
        code_challenge_methods_supported: ['plain'],
      },
      () => onConnection('testIdentityConnection', connection.id, findings),
    );
    const { ok, findings: found } = (
      bad.data as { testIdentityConnection: { ok: boolean; findings: { check: string; ok: boolean }[] } }
    ).testIdentityConnection;
    expect([ok, found.filter((each) => !each.ok).map(({ check }) => check)]).toEqual([
      false,
      ['endpoints', 'response_type', 'id_token_alg', 'token_auth', 'pkce', 'keys'],
    ]);
    expect((await show(connection.id)).identityConnection?.state).toBe('DRAFT');
    expect(await lastEvent()).toMatchObject({
      action: 'identity_connection.test',
      context: { failed: expect.arrayContaining(['pkce']) },
    });
  });

  it.each([
    ['of another issuer', (work: Work) => whileDiscoverySays({ issuer: 'https://login.example' }, work)],
    ['that leads elsewhere', (work: Work) => serving((res) => res.redirect('http://169.254.169.254/'), work)],
    ['that is no JSON', (work: Work) => serving((res) => res.send('<html>'), work)],
    ['that is endless', (work: Work) => serving((res) => res.send(`{"issuer":"${'x'.repeat(1024 * 1024)}"}`), work)],
  ] as const)('is not activated by a discovery document %s', async (_what, during) => {
    const connection = await draft();
    const answer = await during(() => onConnection('activateIdentityConnection', connection.id));
    expect([codeOf(answer), answer.errors?.[0]?.message]).toEqual([
      'BAD_USER_INPUT',
      expect.stringContaining('discovery document'),
    ]);
    expect((await show(connection.id)).identityConnection?.state).toBe('DRAFT');
  });

  it('is not activated without a client secret where one is needed', async () => {
    const connection = await draft({ clientSecret: null });
    expect(codeOf(await onConnection('activateIdentityConnection', connection.id))).toBe('BAD_USER_INPUT');
    expect(codeOf(await update({ connectionId: connection.id, tokenAuth: 'none' }))).toBeNull();
    expect(codeOf(await onConnection('activateIdentityConnection', connection.id))).toBeNull();
  });

  it('in production reaches no address of ours, and does not say which there are', async () => {
    const production = {
      ...world.platform,
      config: { ...world.platform.config, profile: 'production' as const },
    };
    const texts: unknown[] = [];
    for (const issuer of [
      'https://169.254.169.254',
      'https://localhost:5432',
      'https://[::1]',
      'https://10.1.2.3',
      'http://login.example',
    ]) {
      const connection = await draft({ issuer });
      const ctx = requestContext(production, world.acme.request(ALL).tenant);
      const document =
        'mutation ($input: IdentityConnectionInput!) { activateIdentityConnection(input: $input) { connection { id } } }';
      const answer = await ask(ctx, document, { input: { connectionId: connection.id } });
      expect(codeOf(answer)).toBe('BAD_USER_INPUT');
      texts.push(answer.errors?.[0]?.message);
    }
    expect(new Set(texts.slice(0, 4)).size).toBe(1);
  });

  it('is activated, disabled and activated again, each with its event; again is no error and changes nothing', async () => {
    const connection = await draft();
    const steps = [
      ['activateIdentityConnection', 'ACTIVE', 'identity_connection.activate'],
      ['disableIdentityConnection', 'DISABLED', 'identity_connection.disable'],
      ['activateIdentityConnection', 'ACTIVE', 'identity_connection.activate'],
    ] as const;
    for (const [name, state, action] of steps) {
      const answer = await onConnection(name, connection.id);
      expect(answer.data).toMatchObject({ [name]: { connection: { state } } });
      expect(await lastEvent()).toMatchObject({ action, resource: { id: connection.id } });
      const events = (await world.acme.events()).length;
      expect(codeOf(await onConnection(name, connection.id))).toBeNull();
      expect((await world.acme.events()).slice(events)).toMatchObject([{ action: 'mutation.unchanged' }]);
    }
  });

  it('is changed in what is given alone, and forgets its links with another issuer or client', async () => {
    const connection = await draft({ groupsAttribute: 'groups', scopes: ['openid', 'groups'] });
    const userId = await addUser(world.acme, `linked ${connection.id}`);
    await world.peek(
      'eu-1',
      `insert into identity_links (tenant_id, connection_id, subject, user_id, last_used_at) values ($1, $2, 'sub', $3, now())`,
      [uuidOf('tnt', world.acme.id), uuidOf('con', connection.id), uuidOf('usr', userId)],
    );
    const links = () =>
      world.peek('eu-1', 'select 1 as link from identity_links where connection_id = $1', [
        uuidOf('con', connection.id),
      ]);
    const renamed = await update({ connectionId: connection.id, name: `Renamed ${connection.id}`, jit: true });
    expect(renamed.data).toMatchObject({
      updateOidcConnection: {
        connection: {
          jit: true,
          groupsAttribute: 'groups',
          version: 2,
          oidc: { scopes: ['openid', 'groups'], hasClientSecret: true },
        },
      },
    });
    expect([await lastEvent(), await links()]).toMatchObject([
      { context: { changed: ['name', 'jit'], links_forgotten: false } },
      [{}],
    ]);
    await update({ connectionId: connection.id, groupsAttribute: null, clientId: 'another' });
    expect([await lastEvent(), await links()]).toEqual([
      expect.objectContaining({
        context: { kind: 'oidc', changed: ['groupsAttribute', 'clientId'], links_forgotten: true },
      }),
      [],
    ]);
  });

  it('that is active is not changed into one that lets nobody in', async () => {
    const connection = await draft();
    await activate(world.acme, connection.id);
    expect(codeOf(await update({ connectionId: connection.id, issuer: 'http://127.0.0.1:1' }))).toBe('BAD_USER_INPUT');
    expect(codeOf(await update({ connectionId: connection.id, idTokenAlg: 'ES256' }))).toBe('BAD_USER_INPUT');
    expect((await show(connection.id)).identityConnection).toMatchObject({ version: 2, state: 'ACTIVE' });
  });

  it('is deleted with its links, and its groups go to the hands of people', async () => {
    const connection = await draft();
    const uuid = uuidOf('con', connection.id);
    await world.peek(
      'eu-1',
      `insert into groups (tenant_id, id, display_name, managed_by, managed_by_connection) values ($1, gen_random_uuid(), 'Left over', 'sso', $2)`,
      [uuidOf('tnt', world.acme.id), uuid],
    );
    const answer = await onConnection('deleteIdentityConnection', connection.id, 'deletedConnectionId');
    expect(answer.data).toEqual({ deleteIdentityConnection: { deletedConnectionId: connection.id } });
    expect((await show(connection.id)).identityConnection).toBeNull();
    const groups = await world.peek(
      'eu-1',
      `select managed_by, managed_by_connection from groups where display_name = 'Left over'`,
    );
    expect(groups).toEqual([{ managed_by: 'person', managed_by_connection: null }]);
    expect(await lastEvent()).toMatchObject({ action: 'identity_connection.delete', resource: { id: connection.id } });
    expect(codeOf(await onConnection('deleteIdentityConnection', connection.id, 'deletedConnectionId'))).toBe(
      'NOT_FOUND',
    );
  });
});

describe('whoever does not hold all that others hold', () => {
  const some: readonly Scope[] = ['identity:read', 'identity:write'];

  it('cannot bring in others over a connection of her own', async () => {
    const connection = await draft();
    const input = { connectionId: connection.id };
    expect(
      codeOf(await run('activateIdentityConnection', 'IdentityConnectionInput', input, 'connection { id }', some)),
    ).toBe('FORBIDDEN');
    await activate(world.acme, connection.id);
    const change = { ...input, issuer: 'http://127.0.0.1:1' };
    expect(
      codeOf(await run('updateOidcConnection', 'UpdateOidcConnectionInput', change, 'connection { id }', some)),
    ).toBe('FORBIDDEN');
  });

  it('cannot hand out a role by way of newcomers', async () => {
    const { data } = await ask(world.acme.request(ALL), '{ roles { id name } }');
    const admin = (data as { roles: { id: string; name: string }[] }).roles.find(({ name }) => name === 'admin');
    const input = { name: 'Generous', issuer: idp.issuer, clientId: 'x', jit: true, defaultRoleId: admin?.id };
    expect(
      codeOf(await run('createOidcConnection', 'CreateOidcConnectionInput', input, 'connection { id }', some)),
    ).toBe('FORBIDDEN');
    const connection = await draft();
    const change = { connectionId: connection.id, defaultRoleId: admin?.id };
    expect(
      codeOf(await run('updateOidcConnection', 'UpdateOidcConnectionInput', change, 'connection { id }', some)),
    ).toBe('FORBIDDEN');
    expect(codeOf(await update(change))).toBeNull();
  });
});

describe('the last active connection', () => {
  it('stays while people of a domain may sign in over a connection alone', async () => {
    const tenant = world.globex;
    const on = async (name: string, connectionId: string, payload: string) =>
      codeOf(
        await ask(
          tenant.request(ALL),
          `mutation ($input: IdentityConnectionInput!) { ${name}(input: $input) { ${payload} } }`,
          {
            input: { connectionId },
          },
        ),
      );
    const connection = await makeConnection(tenant, {
      name: 'Only',
      issuer: idp.issuer,
      clientId: 'x',
      clientSecret: 's',
    });
    await activate(tenant, connection.id);
    await world.peek(
      'us-1',
      `insert into domain_proofs (tenant_id, id, domain, token, verified_at, sso_enforced)
       values ($1, gen_random_uuid(), 'globex.example', repeat('a', 43), now(), true)`,
      [uuidOf('tnt', tenant.id)],
    );
    expect(await on('disableIdentityConnection', connection.id, 'connection { id }')).toBe('CONFLICT');
    expect(await on('deleteIdentityConnection', connection.id, 'deletedConnectionId')).toBe('CONFLICT');
    const spare = await makeConnection(tenant, { name: 'Spare', issuer: idp.issuer, clientId: 'x', clientSecret: 's' });
    await activate(tenant, spare.id);
    expect(await on('disableIdentityConnection', connection.id, 'connection { id }')).toBeNull();
    expect(await on('deleteIdentityConnection', connection.id, 'deletedConnectionId')).toBeNull();
    expect(await on('deleteIdentityConnection', spare.id, 'deletedConnectionId')).toBe('CONFLICT');
    await mutate(tenant, 'testIdentityConnection', 'IdentityConnectionInput', { connectionId: spare.id }, 'ok');
  });
});
