import { beforeAll, describe, expect, it } from 'vitest';
import { authenticate, issueCredential, systemContext } from '#kit/credential.ts';
import { readArguments, UsageError } from '#kit/command.ts';
import { inTenant, type TenantScope } from '#kit/database.ts';
import { TenonError } from '#schema/errors.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { SUPPORT_SCOPES, type SupportAccess } from '#schema/support-access.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { ensureOperatorTenant } from '#subgraphs';
import { supportCommands } from '../../compliance/commands-support.ts';
import { openHouse, type GraphqlAnswer } from '../support/house.ts';
import { outboxEvents } from '../support/outbox.ts';
import { withClient } from '../support/postgres.ts';

const house = await openHouse();
const { acme, globex } = house;

let operatorKey: string;
let operator: Person;
let colleague: Person;

/** A person of the operators, and a session of hers. */
interface Person {
  readonly id: Id<'usr'>;
  readonly token: string;
}

beforeAll(async () => {
  const { tenant, apiKey } = await ensureOperatorTenant(house.platform);
  operatorKey = apiKey ?? '';
  operator = await addOperator(tenant, 'olga');
  colleague = await addOperator(tenant, 'otto');
});

async function addOperator(tenant: Id<'tnt'>, name: string): Promise<Person> {
  const id = mintId('usr');
  const context = await systemContext(house.databases, tenant, { name: 'test', requestId: 'req_test' });
  const token = await inTenant({ databases: house.databases, tenant: context }, async (tx) => {
    await tx.query('insert into users (id, user_name, display_name) values ($1, $2, $2)', [uuidOf('usr', id), name]);
    await tx.query(
      `insert into user_roles (user_id, role_id)
       select $1, id from roles where 'platform:tenants' = any(scopes)`,
      [uuidOf('usr', id)],
    );
    const expiresAt = new Date(Date.now() + 3_600_000);
    return (await issueCredential(tx, tenant, { kind: 'session', userId: id, name: 'test', expiresAt })).token;
  });
  return { id, token };
}

const GRANT = 'grant { id operator state access personalData minutes expiresAt decidedBy endedBy lastSessionAt }';
interface Grant {
  readonly id: string;
  readonly operator: string;
  readonly state: string;
  readonly expiresAt: string | null;
  readonly decidedBy: string | null;
  readonly endedBy: string | null;
}

function codeOf({ errors }: GraphqlAnswer): string {
  return errors?.[0]?.extensions.code ?? 'none';
}

/** Sends a mutation of one input and returns its payload, or the code of its error. */
async function send(token: string, field: string, input: Record<string, unknown>, selection = GRANT) {
  const type = field === 'requestSupport' ? 'RequestSupportInput' : TYPES[field];
  const answer = await house.graphql(
    token,
    `mutation Send($input: ${type}!) { ${field}(input: $input) { ${selection} } }`,
    { input },
  );
  const payload = (answer.data as Record<string, { grant: Grant; token?: string }> | null | undefined)?.[field];
  return payload ?? codeOf(answer);
}

const TYPES: Readonly<Record<string, string>> = {
  approveSupport: 'SupportInput',
  denySupport: 'SupportInput',
  revokeSupport: 'SupportInput',
  openSupportSession: 'TenantSupportInput',
  endSupport: 'TenantSupportInput',
};

/** What a mutation answers that has to succeed. */
async function done(...call: Parameters<typeof send>) {
  const payload = await send(...call);
  return typeof payload === 'string' ? expect.fail(`${call[1]} was refused: ${payload}`) : payload;
}

const REASON = 'the import of projects hangs';
async function ask(change: Record<string, unknown> = {}): Promise<Grant> {
  const input = { tenantId: acme.id, reason: REASON, ticket: 'T-1', minutes: 60, ...change };
  return (await done(operator.token, 'requestSupport', input)).grant;
}

/** Asks, is let in and comes in; returns the token. */
async function comeIn(change: Record<string, unknown> = {}): Promise<{ grant: Grant; token: string }> {
  const { id } = await ask(change);
  const { grant } = await done(acme.admin, 'approveSupport', { id });
  const opened = await done(
    operator.token,
    'openSupportSession',
    { tenantId: acme.id, id },
    `${GRANT} token expiresAt`,
  );
  return { grant, token: opened.token ?? '' };
}

const eventsOf = async (grant: string) =>
  (await outboxEvents(house, 'acme')).filter(
    ({ session_id, resource }) => session_id === grant || resource.id === grant,
  );

describe('access of an operator to a tenant', () => {
  it('waits for the word of the tenant, who sees the request and by whom it is', async () => {
    const { id, state } = await ask();
    expect(state).toBe('PENDING');
    const shown = await house.graphql(
      acme.admin,
      '{ supportGrants(first: 1, state: PENDING) { edges { node { id operator reason ticket access minutes } } } }',
    );
    const [edge] = (shown.data as { supportGrants: { edges: { node: object }[] } } | null)?.supportGrants.edges ?? [];
    expect(edge?.node).toEqual({
      id,
      operator: operator.id,
      reason: REASON,
      ticket: 'T-1',
      access: 'READ',
      minutes: 60,
    });
    expect(await send(operator.token, 'openSupportSession', { tenantId: acme.id, id }, 'token')).toBe('CONFLICT');
    const { grant } = await done(acme.admin, 'denySupport', { id });
    expect(grant.state).toBe('DENIED');
    expect(await send(acme.admin, 'approveSupport', { id })).toBe('CONFLICT');
    expect(await send(operator.token, 'openSupportSession', { tenantId: acme.id, id }, 'token')).toBe('CONFLICT');
  });

  it('shows what the tenant works with, changes nothing, and masks what is personal', async () => {
    const { token } = await comeIn();
    const seen = await house.graphql(
      token,
      '{ tenant { slug } projects(first: 1) { edges { node { name } } } users(first: 1) { edges { node { id userName email } } } }',
    );
    expect(seen.errors).toBeUndefined();
    const { tenant, users } = seen.data as unknown as {
      tenant: { slug: string };
      users: { edges: { node: { id: string } }[] };
    };
    expect(tenant.slug).toBe('acme');
    expect(users.edges[0]?.node).toEqual({ id: users.edges[0]?.node.id, userName: '(masked)', email: null });
    const create = 'mutation { createProject(input: { name: "x" }) { project { id } } }';
    expect(codeOf(await house.graphql(token, create))).toBe('FORBIDDEN');
    expect(codeOf(await house.graphql(token, '{ apiKeys: viewer { user { id } } }'))).not.toBe('INTERNAL_SERVER_ERROR');
    expect((await house.fetch(token, '/v1/audit/events.ndjson')).status).toBe(403);
  });

  it('shows what is personal where the tenant was asked for that, and changes projects where she was asked for it', async () => {
    const { token } = await comeIn({ personalData: true, access: 'WORK' });
    const seen = await house.graphql(token, '{ users(first: 1) { edges { node { userName } } } }');
    expect(JSON.stringify(seen.data)).toContain('@');
    const created = await house.graphql(
      token,
      'mutation { createProject(input: { name: "mended" }) { project { id } } }',
    );
    expect(created.errors).toBeUndefined();
  });

  it('leaves every step and request in the log of the tenant, with the operator as actor and the grant as session', async () => {
    const { grant, token } = await comeIn({ access: 'WORK' });
    await house.graphql(token, 'query Harmless { projects(first: 1) { edges { node { id } } } tenant { slug } }');
    await house.graphql(token, 'mutation { createProject(input: { name: "seen" }) { project { id } } }');
    const events = await eventsOf(grant.id);
    expect(events.map(({ action }) => action)).toEqual([
      'support.request',
      'support.approve',
      'support.open_session',
      'support.act',
      'support.act',
      'project.create',
    ]);
    const hers = events.filter(({ action }) => action !== 'support.approve');
    expect(new Set(hers.map(({ actor, session_id }) => [actor.type, actor.id, session_id].join()))).toEqual(
      new Set([['support', operator.id, grant.id].join()]),
    );
    expect(events[3]).toMatchObject({
      resource: { type: 'operation', id: 'Harmless' },
      context: { kind: 'query', fields: ['projects', 'tenant'], personal_data: false },
    });
  });

  it('tells the administrators by mail of a request and of the first use', async () => {
    const before = await noticesAsked();
    const { grant } = await comeIn();
    await done(operator.token, 'openSupportSession', { tenantId: acme.id, id: grant.id }, 'token');
    expect((await noticesAsked()) - before).toBe(2);
  });

  it('ends everywhere within a second when the tenant says so, and so does the token of before when another is opened', async () => {
    const { grant, token } = await comeIn();
    const look = (by: string) => house.graphql(by, '{ tenant { slug } }');
    expect((await look(token)).status).toBe(200);
    const next = await done(operator.token, 'openSupportSession', { tenantId: acme.id, id: grant.id }, 'token');
    expect((await look(token)).status).toBe(401);
    expect((await look(next.token ?? '')).status).toBe(200);
    const ended = await done(acme.admin, 'revokeSupport', { id: grant.id });
    expect(ended.grant.state).toBe('ENDED');
    expect((await look(next.token ?? '')).status).toBe(401);
    expect(await send(operator.token, 'openSupportSession', { tenantId: acme.id, id: grant.id }, 'token')).toBe(
      'CONFLICT',
    );
    expect(await send(acme.admin, 'revokeSupport', { id: grant.id })).toBe('CONFLICT');
  });

  it('can be given back by the operator', async () => {
    const { grant, token } = await comeIn();
    const { grant: ended } = await done(operator.token, 'endSupport', { tenantId: acme.id, id: grant.id });
    expect([ended.state, ended.endedBy]).toEqual(['ENDED', operator.id]);
    expect((await house.graphql(token, '{ tenant { slug } }')).status).toBe(401);
  });

  it('is over when its time is, by the clock of the database', async () => {
    const { grant, token } = await comeIn();
    await withClient(house.stores.url('eu-1'), async (client) => {
      await client.query('set session_replication_role = replica');
      await client.query(`update app.support_grants set expires_at = now() - interval '1 second' where id = $1`, [
        uuidOf('sup', grant.id),
      ]);
    });
    const origin = { requestId: 'req_test', ip: null, ua: null, now: new Date(0) };
    await expect(authenticate(house.databases, token, origin)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(await send(operator.token, 'openSupportSession', { tenantId: acme.id, id: grant.id }, 'token')).toBe(
      'CONFLICT',
    );
  });
});

describe('nobody', () => {
  it('of another tenant sees, decides or ends it', async () => {
    const { grant } = await comeIn();
    for (const field of ['approveSupport', 'denySupport', 'revokeSupport']) {
      expect(await send(globex.admin, field, { id: grant.id })).toBe('NOT_FOUND');
    }
    const theirs = await house.graphql(globex.admin, '{ supportGrants { edges { node { id } } } }');
    expect(theirs.data).toEqual({ supportGrants: { edges: [] } });
    expect(await send(operator.token, 'openSupportSession', { tenantId: globex.id, id: grant.id }, 'token')).toBe(
      'NOT_FOUND',
    );
  });

  it('but administrators decides, but auditors reads, and nobody whom she let in decides for herself', async () => {
    const { id } = await ask();
    const { token } = await comeIn({ access: 'WORK', personalData: true });
    for (const by of [acme.member, acme.auditor, token])
      expect(await send(by, 'approveSupport', { id })).toBe('FORBIDDEN');
    expect(codeOf(await house.graphql(acme.auditor, '{ supportGrants { edges { node { id } } } }'))).toBe('none');
    expect(codeOf(await house.graphql(acme.member, '{ supportGrants { edges { node { id } } } }'))).toBe('FORBIDDEN');
  });

  it('but a person of the operators asks, and only she who asked comes in', async () => {
    const input = { tenantId: acme.id, reason: REASON, ticket: 'T-2', minutes: 60 };
    expect(await send(acme.admin, 'requestSupport', input)).toBe('FORBIDDEN');
    expect(operatorKey).toMatch(/^tnk_/);
    const { id } = await ask();
    await done(acme.admin, 'approveSupport', { id });
    expect(await send(colleague.token, 'openSupportSession', { tenantId: acme.id, id }, 'token')).toBe('NOT_FOUND');
    expect(await send(colleague.token, 'endSupport', { tenantId: acme.id, id })).toBe('NOT_FOUND');
    expect(await send(operator.token, 'requestSupport', { ...input, minutes: 481 })).toBe('BAD_USER_INPUT');
    expect(await send(operator.token, 'requestSupport', { ...input, tenantId: mintId('tnt') })).toBe('NOT_FOUND');
  });
});

describe('the commands of an operator', () => {
  async function tenon(words: string, options: Readonly<Record<string, string>>) {
    const command = supportCommands.find(({ name }) => name === words) ?? expect.fail(`there is no ${words}`);
    const argv = Object.entries({ url: house.url, key: operator.token, tenant: acme.id, ...options });
    const given = argv.flatMap(([name, value]) => [`--${name}`, value]);
    const lines: string[] = [];
    const surroundings = { json: true, write: (line: string) => void lines.push(line), platform: () => expect.fail() };
    const code = await command.run(surroundings, readArguments(command, given));
    return { code, answer: JSON.parse(lines.join('\n')) as Record<string, unknown> & { readonly id: string }[] };
  }

  it('ask, show how it stands, come in and give back', async () => {
    const asked = await tenon('support request', { reason: REASON, ticket: 'T-9', minutes: '30', access: 'work' });
    const id = String(asked.answer['id']);
    expect(asked).toMatchObject({ code: 0, answer: { state: 'PENDING', access: 'WORK', personalData: false } });
    expect((await tenon('support list', {})).answer[0]).toMatchObject({ id, ticket: 'T-9' });
    await done(acme.admin, 'approveSupport', { id });
    const { answer } = await tenon('support open', { id });
    expect((await house.graphql(String(answer['token']), '{ tenant { slug } }')).status).toBe(200);
    expect((await tenon('support end', { id })).answer).toMatchObject({ state: 'ENDED', endedBy: operator.id });
  });

  it('say what they take', async () => {
    const wrong = { reason: REASON, ticket: 'T-9', minutes: 'an hour' };
    await expect(tenon('support request', wrong)).rejects.toBeInstanceOf(UsageError);
    await expect(tenon('support request', { ...wrong, minutes: '5', access: 'all' })).rejects.toBeInstanceOf(
      UsageError,
    );
  });
});

describe('the role of an operator in the database', () => {
  const scope = (access: SupportAccess, change: Partial<NonNullable<TenantContext['support']>> = {}): TenantScope => {
    const support = { grant: mintId('sup'), access, personal: false, endsAtMs: Date.now() + 60_000, ...change };
    const tenant: TenantContext = {
      tenant: acme.id as Id<'tnt'>,
      tier: 'ENTERPRISE',
      region: 'eu',
      cell: 'eu-1',
      state: 'active',
      actor: { type: 'support', id: operator.id, ip: null, ua: null },
      scopes: SUPPORT_SCOPES[access],
      sessionId: support.grant,
      epoch: 0,
      client: null,
      support,
      requestId: 'req_test',
    };
    return { tenant, databases: house.databases };
  };
  const says = async (of: TenantScope, sql: string): Promise<string> => {
    try {
      const rows = await inTenant(of, (tx) => tx.query<object>(sql));
      return JSON.stringify(rows);
    } catch (error) {
      return error instanceof TenonError ? error.code : String(error);
    }
  };

  it('is her own, sees one tenant, and reads no secret', async () => {
    expect(await says(scope('read'), 'select current_user as role, count(*)::int as tenants from tenants')).toBe(
      '[{"role":"tenon_support","tenants":1}]',
    );
    for (const table of ['credentials', 'tenant_keys', 'subject_keys', 'outbox', 'sessions', 'support_grants']) {
      expect([table, await says(scope('work'), `select * from ${table}`)]).toEqual([table, 'FORBIDDEN']);
    }
  });

  it('writes nothing under a grant to read, and projects alone under one to work', async () => {
    const insert = `insert into projects (id, name) values (gen_random_uuid(), 'x') returning name`;
    expect(await says(scope('read'), insert)).toBe('FORBIDDEN');
    expect(await says(scope('work'), insert)).toBe('[{"name":"x"}]');
    expect(await says(scope('work'), `update users set display_name = 'x'`)).toBe('FORBIDDEN');
  });

  it('has no row when the time of the grant is over, whatever the program believes', async () => {
    const late = scope('read', { endsAtMs: Date.now() - 1_000 });
    expect(await says(late, 'select slug from tenants')).toBe('FORBIDDEN');
  });

  it('is laid down with the transaction: the next borrower of the connection has the rights of the application', async () => {
    await Promise.all(Array.from({ length: 12 }, () => says(scope('read'), 'select 1')));
    const { support: _, ...tenant } = scope('read').tenant;
    const roles = await Promise.all(
      Array.from({ length: 12 }, () => says({ tenant, databases: house.databases }, 'select current_user as role')),
    );
    expect(new Set(roles)).toEqual(new Set(['[{"role":"tenon_app"}]']));
  });
});

async function noticesAsked(): Promise<number> {
  return withClient(house.stores.url('eu-1'), async (client) => {
    const { rows } = await client.query<{ asked: number }>(
      `select count(*)::int as asked from app.tenant_notices where notice in ('request_support', 'use_support')`,
    );
    return rows[0]?.asked ?? 0;
  });
}
