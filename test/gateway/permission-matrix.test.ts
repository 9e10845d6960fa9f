import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'graphql';
import { apiSchemaOf } from '#kit/api-schema.ts';
import { compose } from '#kit/composition.ts';
import { issueCredential, systemContext } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { requestContext } from '#kit/request-context.ts';
import { executeSubgraph } from '#kit/subgraph-execution.ts';
import { mintId, uuidOf, type Id, type IdPrefix } from '#schema/ids.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import { BUILT_IN_ROLES, isScope, SCOPES, type Scope } from '#schema/scopes.ts';
import { ensureOperatorTenant, subgraphs } from '#subgraphs';
import { openHouse, type GraphqlAnswer, type House } from '../support/house.ts';
import { letRun, partnerKey } from '../support/partner.ts';
import { fieldsOf, type IdChoice, type ReachedField } from './supergraph-fields.ts';

const SUPERGRAPH = compose(subgraphs);
const FIELDS = fieldsOf(SUPERGRAPH, apiSchemaOf(SUPERGRAPH).schema);

let house: House;
/** Ids of things in each tenant, by what they are. */
let known: Readonly<Record<'acme' | 'globex' | 'initech', Readonly<Record<string, string>>>>;
let tokens: Readonly<Record<string, { readonly token: string; readonly scopes: readonly string[] }>>;

beforeAll(async () => {
  house = await openHouse();
  known = { acme: await fill('acme'), globex: await fill('globex'), initech: await fill('initech') };
  const { acme } = house;
  tokens = {
    admin: { token: acme.admin, scopes: BUILT_IN_ROLES.admin },
    member: { token: acme.member, scopes: BUILT_IN_ROLES.member },
    auditor: { token: acme.auditor, scopes: BUILT_IN_ROLES.auditor },
    operator: { token: await operatorSession(), scopes: ['platform:tenants'] },
    scim: { token: acme.scim, scopes: ['scim'] },
  };
  await lift('ENTERPRISE', tokens['operator']?.token ?? '');
});

/** What is asked here, all at once, is more than the budgets of a tier give. */
async function lift(tier: string, operator: string): Promise<void> {
  const rate = { capacity: 1_000_000, restorePerSecond: 100_000 };
  const budget = { points: { query: rate, mutation: rate, bulk: rate }, requests: rate };
  const answer = await house.graphql(
    operator,
    'mutation ($input: SetTierLimitsInput!) { setTierLimits(input: $input) { tier } }',
    { input: { tier, tenant: budget, client: budget, user: budget } },
  );
  expect(answer).toMatchObject({ status: 200, data: { setTierLimits: { tier } } });
}

const ROLES = ['admin', 'member', 'auditor', 'operator', 'scim'] as const;

async function graph(token: string, field: ReachedField, idOf: IdChoice, dryRun = false): Promise<GraphqlAnswer> {
  const response = await house.fetch(token, '/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(dryRun && { 'x-cost-dry-run': '1' }) },
    body: JSON.stringify({ query: field.document, variables: field.variables(idOf) }),
  });
  const body = (await response.json()) as Omit<GraphqlAnswer, 'status' | 'headers'>;
  return { status: response.status, headers: response.headers, ...body };
}

const codesOf = ({ errors }: Pick<GraphqlAnswer, 'errors'>) => (errors ?? []).map(({ extensions }) => extensions.code);

/** What the answer says, without what differs from request to request. */
const outcomeOf = ({ status, data, errors }: GraphqlAnswer) => ({
  status,
  data: data ?? null,
  errors: (errors ?? []).map(({ message, path, extensions }) => [message, path, extensions.code]),
});

const PREFIXES: Readonly<Record<string, IdPrefix>> = {
  user: 'usr',
  group: 'grp',
  role: 'rol',
  project: 'prj',
  document: 'doc',
  credential: 'key',
  session: 'ses',
  invoice: 'inv',
  auditEvent: 'aud',
  evidencePack: 'evd',
  tenant: 'tnt',
  connection: 'con',
  domain: 'dom',
  factor: 'fct',
  receiver: 'rcv',
  delivery: 'dlv',
  request: 'scr',
  token: 'scm',
  operation: 'opr',
};

/** `userId` is about a user; `id` about what the field returns. */
function kindOf(name: string, type: string): string {
  const word = name === 'id' ? type : name.replace(/Id$/, '').replace(/^.*(Role|Group|User)$/, '$1');
  return `${word.charAt(0).toLowerCase()}${word.slice(1)}`;
}

const idsOf =
  (tenant: 'acme' | 'globex' | 'initech'): IdChoice =>
  (name, type) =>
    known[tenant][kindOf(name, type)] ?? fresh(name, type);
const fresh: IdChoice = (name, type) => mintId(PREFIXES[kindOf(name, type)] ?? 'req');

/** What is allowed is looked at without running where it would change the asker's own tenant. */
const isRun = ({ kind, takesIds }: ReachedField) => kind === 'query' || takesIds;

describe('every field of the supergraph', () => {
  it('is here, those of mutations and those that ask for a right below the root too', () => {
    const names = FIELDS.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['Query.viewer', 'Mutation.createUser', 'User.credentials', 'User.sessions']),
    );
    expect(new Set(names).size).toBe(names.length);
    const guarded = SUPERGRAPH.match(/@permission\(scope: "/g) ?? [];
    const types = SUPERGRAPH.match(/^type [^{]*@permission/gm) ?? [];
    expect(FIELDS.filter(({ scopes }) => scopes.length > 0).length).toBe(guarded.length - types.length);
  });

  it.each(ROLES)('is for %s what its directive says, before anything runs', async (role) => {
    const { token, scopes } = tokens[role] ?? { token: '', scopes: [] };
    const wrong: unknown[] = [];
    for (const field of FIELDS) {
      const missing = field.scopes.filter((scope) => !scopes.includes(scope));
      const answer = await graph(token, field, fresh, missing.length === 0 && !isRun(field));
      const codes = codesOf(answer);
      const isRefused = answer.status === 403 && codes.length === 1 && codes[0] === 'FORBIDDEN' && !('data' in answer);
      const isNamed = missing.every((scope) => answer.errors?.[0]?.message.includes(scope) === true);
      // What is open to people of whatever rights may still be for people alone.
      const isForPeople = field.scopes.length === 0 && role === 'scim';
      const faults = new Set(['UNAUTHENTICATED', 'INTERNAL_SERVER_ERROR', ...(isForPeople ? [] : ['FORBIDDEN'])]);
      const isLetIn = !codes.some((code) => faults.has(code));
      const isAsSaid = missing.length > 0 ? isRefused && isNamed : isLetIn;
      if (!isAsSaid) wrong.push([field.name, missing, answer.status, answer.errors]);
    }
    expect(wrong).toEqual([]);
  });

  it('is for nobody without a credential, and for no partner beside what was registered', async () => {
    const open: unknown[] = [];
    for (const field of FIELDS) {
      const anonymous = await graph('', field, fresh);
      const partner = await graph(house.acme.partner, field, fresh);
      const codes = [anonymous.status, ...codesOf(anonymous), partner.status, ...codesOf(partner)];
      if (codes.join() !== '401,UNAUTHENTICATED,400,PERSISTED_QUERY_ID_REQUIRED') open.push([field.name, codes]);
    }
    expect(open).toEqual([]);
  });

  it("is for a partner's key what its directive says, where the operation was registered", async () => {
    const queries = FIELDS.filter(({ kind }) => kind === 'query');
    await letRun(house, 'acme', { client: 'matrix-partner', bodies: queries.map(({ document }) => document) });
    const scopes = ['projects:read', 'users:read'];
    const key = await partnerKey(house, 'acme', { client: 'matrix-partner', scopes });
    const wrong: unknown[] = [];
    for (const field of queries) {
      const response = await house.fetch(key, '/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ documentId: sha256Hex(field.document), variables: field.variables(fresh) }),
      });
      const codes = codesOf((await response.json()) as GraphqlAnswer);
      const isLetIn = field.scopes.every((scope) => scopes.includes(scope));
      const isAsSaid = isLetIn ? response.status === 200 : response.status === 403 && codes.join() === 'FORBIDDEN';
      if (!isAsSaid) wrong.push([field.name, response.status, codes]);
    }
    expect(wrong).toEqual([]);
  });

  it.each(['globex', 'initech'] as const)(
    'answers ids of %s, in another cell or the same, as it answers ids of nothing',
    async (tenant) => {
      const told: unknown[] = [];
      let asked = 0;
      for (const field of FIELDS.filter((one) => one.takesIds)) {
        const holder = ROLES.find((role) => field.scopes.every((scope) => tokens[role]?.scopes.includes(scope)));
        if (holder === undefined || holder === 'operator') continue;
        asked += 1;
        const token = tokens[holder]?.token ?? '';
        const foreign = await graph(token, field, idsOf(tenant));
        const nothing = await graph(token, field, fresh);
        if (JSON.stringify(outcomeOf(foreign)) !== JSON.stringify(outcomeOf(nothing)))
          told.push([field.name, outcomeOf(foreign), outcomeOf(nothing)]);
      }
      expect(told).toEqual([]);
      expect(asked).toBeGreaterThan(15);
    },
  );

  it('by an id of the own tenant is there', async () => {
    const own = FIELDS.filter(({ name, kind }) => kind === 'query' && /^Query\.(user|group|project)$/.test(name));
    for (const field of own) {
      const { data, errors } = await graph(house.acme.admin, field, idsOf('acme'));
      expect([field.name, errors, Object.values(data ?? {})[0]]).toEqual([field.name, undefined, expect.any(Object)]);
    }
    expect(own).toHaveLength(3);
  });
});

describe('the subgraphs', () => {
  it('ask for the right of each entrance once more, and no other stands in for it', async () => {
    const tenant = await systemContext(house.databases, house.acme.id as Id<'tnt'>, {
      name: 'test',
      requestId: 'req_test',
    });
    const open: unknown[] = [];
    for (const field of FIELDS.filter(({ name, scopes }) => /^(Query|Mutation)\./.test(name) && scopes.length > 0)) {
      const [root, name = ''] = field.name.split('.');
      const subgraph = subgraphs.find(({ schema }) => {
        const type = root === 'Query' ? schema.getQueryType() : schema.getMutationType();
        return type?.getFields()[name] !== undefined;
      });
      if (subgraph === undefined) throw new Error(`no subgraph has ${field.name}`);
      const scopes = Object.keys(SCOPES)
        .filter(isScope)
        .filter((scope) => !field.scopes.includes(scope));
      const ctx = requestContext(house.platform, { ...tenant, scopes });
      const result = await executeSubgraph(
        subgraph,
        { document: parse(field.document), variables: field.variables(fresh) },
        ctx,
      );
      const code = result.errors?.[0]?.extensions?.['code'];
      const isNamed = result.errors?.[0]?.message.includes(field.scopes[0] ?? '') === true;
      if (code !== 'FORBIDDEN' || !isNamed) open.push([field.name, code]);
    }
    expect(open).toEqual([]);
  });

  it('show a thing that another subgraph leads to by its id to whoever holds the right of its type alone', async () => {
    const tenant = await systemContext(house.databases, house.acme.id as Id<'tnt'>, {
      name: 'test',
      requestId: 'req_test',
    });
    const guarded = [...SUPERGRAPH.matchAll(/^type (\w+)[^{]*@permission\(scope: "([\w:]+)"\)/gm)];
    expect(guarded.length).toBeGreaterThan(5);
    for (const [, type = '', scope = ''] of guarded) {
      const subgraph = subgraphs.find(({ references }) => type in references);
      if (subgraph === undefined) throw new Error(`no subgraph finds ${type}`);
      const scopes = Object.keys(SCOPES)
        .filter(isScope)
        .filter((one): one is Scope => one !== scope);
      const document = parse(`query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }`);
      const variables = { of: [{ __typename: type, id: fresh('id', type) }] };
      const codeWith = async (rights: readonly Scope[]) =>
        (
          await executeSubgraph(
            subgraph,
            { document, variables },
            requestContext(house.platform, { ...tenant, scopes: rights }),
          )
        ).errors?.[0]?.extensions?.['code'];
      expect([type, await codeWith(scopes)]).toEqual([type, 'FORBIDDEN']);
      expect([type, await codeWith(isScope(scope) ? [scope] : [])]).toEqual([type, undefined]);
    }
  });
});

/** Makes one thing of each kind and returns their ids. */
async function fill(name: 'acme' | 'globex' | 'initech'): Promise<Record<string, string>> {
  const { admin, id } = house[name];
  const run = async (query: string, input: object = {}): Promise<Record<string, unknown>> => {
    const { data, errors } = await house.graphql(admin, query, { input });
    if (errors !== undefined) throw new Error(`${query}: ${JSON.stringify(errors)}`);
    return data as Record<string, unknown>;
  };
  const idAt = (value: unknown): string => {
    const text = JSON.stringify(value);
    return /"id":"(\w+)"/.exec(text)?.[1] ?? text;
  };
  const role = { name: 'matrix', scopes: ['projects:read'] };
  const key = { name: 'matrix', client: 'matrix', scopes: ['projects:read'] };
  const found: Record<string, string> = {
    tenant: id,
    user: idAt(await run('{ viewer { user { id } } }')),
    session: idAt(await run('{ viewer { sessions { id } } }')),
    role: idAt(await run('mutation ($input: CreateRoleInput!) { createRole(input: $input) { role { id } } }', role)),
    credential: idAt(
      await run('mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { credential { id } } }', key),
    ),
    project: idAt(
      await run('mutation ($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }', {
        name: 'matrix',
      }),
    ),
    group: await scimGroup(name),
  };
  const document = { projectId: found['project'], name: 'matrix', body: 'matrix' };
  found['document'] = idAt(
    await run(
      'mutation ($input: CreateDocumentInput!) { createDocument(input: $input) { document { id } } }',
      document,
    ),
  );
  const period = { periodStart: '2026-01-01T00:00:00.000Z', periodEnd: '2026-02-01T00:00:00.000Z' };
  found['invoice'] = idAt(
    await run('mutation ($input: DraftInvoiceInput!) { draftInvoice(input: $input) { invoice { id } } }', period),
  );
  return found;
}

async function scimGroup(name: 'acme' | 'globex' | 'initech'): Promise<string> {
  const response = await house.fetch(house[name].scim, '/scim/v2/Groups', {
    method: 'POST',
    headers: { 'content-type': 'application/scim+json' },
    body: JSON.stringify({ schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'], displayName: 'matrix' }),
  });
  return ((await response.json()) as { id: string }).id;
}

/** A person with the operators' right, in the operators' tenant. */
async function operatorSession(): Promise<string> {
  const { tenant } = await ensureOperatorTenant(house.platform);
  const context = await systemContext(house.databases, tenant, { name: 'test', requestId: mintId('req') });
  return inTenant(requestContext(house.platform, context), async (tx) => {
    const [user, role] = [mintId('usr'), mintId('rol')];
    const [userUuid, roleUuid] = [uuidOf('usr', user), uuidOf('rol', role)];
    await tx.query('insert into users (id, user_name) values ($1, $2)', [userUuid, 'operator']);
    await tx.query('insert into roles (id, name, scopes) values ($1, $2, $3)', [
      roleUuid,
      'matrix',
      ['platform:tenants'],
    ]);
    await tx.query('insert into user_roles (user_id, role_id) values ($1, $2)', [userUuid, roleUuid]);
    const expiresAt = new Date(Date.now() + 3_600_000);
    const issued = await issueCredential(tx, tenant, { kind: 'session', userId: user, name: 'test', expiresAt });
    return issued.token;
  });
}
