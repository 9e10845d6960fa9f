import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import type { Scope } from '#schema/scopes.ts';
import {
  ACTIVATION,
  CONNECTION_BY_ID,
  CONNECTION_CREATIONS,
  CONNECTION_LISTS,
  type ConnectionIds,
} from './connection-operations.ts';
import { ALL, makeConnection, mutate } from './connection-world.ts';
import { addUser, ask, codeOf, openIdentity, type IdentityPlatform, type TestTenant } from './identity-platform.ts';

let world: IdentityPlatform;
let foreign: ConnectionIds;
const NOBODY: ConnectionIds = {
  user: mintId('usr'),
  role: mintId('rol'),
  connection: mintId('con'),
  emailDomain: mintId('dom'),
};

beforeAll(async () => {
  world = await openIdentity();
  Object.assign(world.platform, { resolveTxt: async () => [] });
  foreign = await makeThings(world.acme);
});

/** One row in every table of connections and domains. */
async function makeThings(tenant: TestTenant): Promise<ConnectionIds> {
  const { id: connection } = await makeConnection(tenant, {
    name: 'Secret connection',
    issuer: 'http://127.0.0.1:1',
    clientId: 'x',
    clientSecret: 's',
  });
  const domain = { domain: `secret-${tenant.id.slice(-6)}.example` };
  const { emailDomain } = await mutate<{ emailDomain: { id: string } }>(
    tenant,
    'addEmailDomain',
    'AddEmailDomainInput',
    domain,
    'emailDomain { id }',
  );
  const user = await addUser(tenant, `secret of ${tenant.id}`);
  await mutate(tenant, 'addBreakGlassUser', 'UserInput', { userId: user }, 'breakGlassUsers { userId }');
  const { data } = await ask(tenant.request(ALL), '{ roles { id name } }');
  const role = (data as { roles: { id: string }[] }).roles[0]?.id ?? '';
  await world.peek(
    tenant.cell,
    `with ids as (select $1::uuid as tenant, $2::uuid as connection, $3::uuid as person),
          links as (insert into identity_links (tenant_id, connection_id, subject, user_id, last_used_at) select tenant, connection, 'subject', person, now() from ids),
          used as (insert into used_assertions (tenant_id, connection_id, id_hash, expires_at) select tenant, connection, sha256('x'), now() from ids)
     insert into sign_in_flows (tenant_id, id, connection_id, secret_hash, browser_hash, sealed, expires_at)
     select tenant, gen_random_uuid(), connection, sha256('x'), sha256('x'), 'x', now() from ids`,
    [uuidOf('tnt', tenant.id), uuidOf('con', connection), uuidOf('usr', user)],
  );
  return { user, role, connection, emailDomain: emailDomain.id };
}

const TABLES = [
  'identity_connections',
  'domain_proofs',
  'break_glass_users',
  'sign_in_flows',
  'identity_links',
  'used_assertions',
];

describe.each(['initech', 'globex'] as const)('an administrator of %s, in the same cell or another,', (name) => {
  const asked = async (document: string, variables: Record<string, unknown>) => {
    const { data, errors } = await ask(world[name].request(ALL), document, variables);
    return { data, errors: errors?.map(({ message, extensions }) => [message, extensions?.['code']]) };
  };

  it.each(TABLES)('sees no row of %s that is not hers', async (table) => {
    const rows = (tenant: TestTenant) =>
      inTenant({ tenant: tenant.request([]).tenant, databases: world.platform.databases }, (tx) =>
        tx.query(`select 1 as row from ${table}`),
      );
    expect([(await rows(world[name])).length, (await rows(world.acme)).length]).toEqual([0, 1]);
  });

  it.each([...CONNECTION_BY_ID, ACTIVATION])(
    "gets from $name for another tenant's ids what she gets for nobody's",
    async ({ document, variables }) => {
      const answer = await asked(document, variables(foreign));
      expect(answer).toEqual(await asked(document, variables(NOBODY)));
      const nothing = Object.values(answer.data ?? { none: null }).every((value) => value === null);
      expect([nothing, answer.errors?.[0]?.[1] ?? 'NOT_FOUND']).toEqual([true, 'NOT_FOUND']);
    },
  );

  it.each(CONNECTION_LISTS)('finds nothing of another tenant in $name', async ({ document, name: field }) => {
    expect((await asked(document, {})).data).toEqual({ [field]: [] });
  });

  it('cannot tie what is hers to what is not', async () => {
    const own = await makeThings(world[name]);
    const run = async (mutation: string, type: string, input: object) =>
      codeOf(
        await ask(
          world[name].request(ALL),
          `mutation ($input: ${type}!) { ${mutation}(input: $input) { __typename } }`,
          { input },
        ),
      );
    const answers = [
      await run('createOidcConnection', 'CreateOidcConnectionInput', {
        name: 'x',
        issuer: 'https://a.example',
        clientId: 'x',
        defaultRoleId: foreign.role,
      }),
      await run('updateOidcConnection', 'UpdateOidcConnectionInput', {
        connectionId: own.connection,
        defaultRoleId: foreign.role,
      }),
      await run('updateEmailDomain', 'UpdateEmailDomainInput', {
        emailDomainId: own.emailDomain,
        connectionId: foreign.connection,
      }),
      await run('removeIdentityLink', 'RemoveIdentityLinkInput', {
        userId: own.user,
        connectionId: foreign.connection,
      }),
      await run('removeIdentityLink', 'RemoveIdentityLinkInput', {
        userId: foreign.user,
        connectionId: own.connection,
      }),
    ];
    expect(answers).toEqual(answers.map(() => 'NOT_FOUND'));
  });
});

describe('of connections and domains', () => {
  const without = (scope: Scope) => ALL.filter((known) => known !== scope);

  it.each([...CONNECTION_LISTS, ...CONNECTION_CREATIONS, ...CONNECTION_BY_ID])(
    '$name needs $scope, and no other right stands in for it',
    async ({ document, scope, variables }) => {
      const refused = await ask(world.acme.request(without(scope)), document, variables(foreign));
      expect(codeOf(refused)).toBe('FORBIDDEN');
      expect(refused.errors?.[0]?.message).toContain(scope);
      expect((await ask(world.acme.request([scope]), document, variables(foreign))).errors).toBeUndefined();
    },
  );

  it('an activation needs its right too, before all others', async () => {
    const { document, variables, scope } = ACTIVATION;
    const refused = await ask(world.acme.request(without(scope)), document, variables(NOBODY));
    expect([codeOf(refused), refused.errors?.[0]?.message]).toEqual(['FORBIDDEN', expect.stringContaining(scope)]);
  });
});
