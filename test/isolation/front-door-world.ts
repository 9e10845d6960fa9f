import fc from 'fast-check';
import pg from 'pg';
import { expect, vi } from 'vitest';
import { snapshotCatalog } from '#kit/catalog-snapshot.ts';
import type { House } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';
import { newMark } from './foreign-values.ts';
import { anyWorld, load, tablesInOrder, type World } from './generated-rows.ts';

/** What a tenant asks of her own things. */
export const OWN_QUERIES: readonly string[] = [
  '{ viewer { user { id userName email } sessions { id } } tenant { id name } }',
  '{ users(first: 20) { edges { cursor node { id userName email groups { id displayName } roles { id name } } } } }',
  '{ groups(first: 20) { edges { cursor node { id displayName } } } roles { id name } }',
  '{ projects(first: 20) { edges { cursor node { id name documents(first: 5) { edges { cursor node { id name } } } } } } }',
  '{ machineCredentials { id name } emailDomains { id domain } scimConnections { id name } auditViews(first: 9) { edges { cursor node { id name } } } }',
  '{ invoices(first: 9) { edges { cursor node { id } } } revocations(first: 9) { edges { cursor node { id } } } }',
];

/** The budgets are not what is tested: as much as may be written into them. */
export async function liftLimits(house: House): Promise<void> {
  const rate = { capacity: 100_000_000, restorePerSecond: 1_000_000 };
  const subject = { points: { query: rate, mutation: rate, bulk: rate }, requests: rate };
  const limits = { maxQueryCost: 1_000_000, concurrency: 1_000, tenant: subject, client: subject, user: subject };
  await withClient(house.stores.url('directory'), (client) =>
    client.query('update app.tier_limits set limits = $1', [limits]),
  );
  await vi.waitFor(async () => {
    const { headers } = await house.graphql(house.acme.admin, '{ viewer { tenant { id } } }');
    expect(Number(headers.get('x-ratelimit-limit'))).toBeGreaterThan(1_000_000);
  });
}

/** Gives the neighbour one thing of each kind that her own requests can make, and returns what she was answered. */
export async function fillNeighbour(house: House, neighbour: 'initech'): Promise<string[]> {
  const { admin, scim } = house[neighbour];
  const answers: string[] = [];
  const ask = async (query: string, input?: object): Promise<string> => {
    const answer = await house.graphql(admin, query, input === undefined ? {} : { input });
    if (answer.errors !== undefined) throw new Error(`${query}: ${JSON.stringify(answer.errors)}`);
    const text = JSON.stringify(answer.data);
    answers.push(text);
    return /"id":"(\w+)"/.exec(text)?.[1] ?? '';
  };
  const make = (name: string, type: string, input: object, shown: string) =>
    ask(`mutation ($input: ${type}!) { ${name}(input: $input) { ${shown} } }`, input);
  for (let round = 0; round < 3; round += 1) {
    const mark = newMark();
    const project = await make('createProject', 'CreateProjectInput', { name: mark }, 'project { id }');
    await make(
      'createDocument',
      'CreateDocumentInput',
      { projectId: project, name: mark, body: mark },
      'document { id }',
    );
    const person = { userName: `${mark}@initech.example`, displayName: mark, email: `${mark}@initech.example` };
    await make('createUser', 'CreateUserInput', person, 'user { id }');
    await make('createRole', 'CreateRoleInput', { name: mark, scopes: ['projects:read'] }, 'role { id }');
    const key = { name: mark, client: mark, scopes: ['projects:read'], expiresInDays: 9 };
    await make('createApiKey', 'CreateApiKeyInput', key, 'credential { id }');
    await make(
      'createAuditView',
      'CreateAuditViewInput',
      { name: mark, shared: true, filter: { text: mark } },
      'view { id }',
    );
    await house.fetch(scim, '/scim/v2/Groups', {
      method: 'POST',
      headers: { 'content-type': 'application/scim+json' },
      body: JSON.stringify({ schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'], displayName: mark }),
    });
  }
  for (const query of OWN_QUERIES) await ask(query);
  return answers;
}

/** Loads a tenant whom nobody ever asks as, with rows in every table; her texts carry marks. */
export async function haunt(url: string, { ghost, seed }: { ghost: string; seed: number }): Promise<void> {
  await withClient(url, async (client: pg.Client) => {
    const tables = tablesInOrder(await snapshotCatalog(client));
    const checks = tables.flatMap(({ name, constraints }) =>
      constraints.filter(({ kind }) => kind === 'check').map((check) => ({ table: `app.${name}`, ...check })),
    );
    for (const { table, name } of checks) await client.query(`alter table ${table} drop constraint "${name}"`);
    const [world] = fc.sample(anyWorld(tables), { numRuns: 1, seed });
    await load(client, { tables, world: marked(world ?? {}), tenant: ghost });
    for (const { table, name, definition } of checks)
      await client.query(`alter table ${table} add constraint "${name}" ${definition} not valid`);
  });
}

function marked(world: World): World {
  return Object.fromEntries(
    Object.entries(world).map(([table, rows]) => [
      table,
      rows.map(({ pick, values }) => ({
        pick,
        values: Object.fromEntries(
          Object.entries(values).map(([column, value]) => [column, markable(value) ? newMark() : value]),
        ),
      })),
    ]),
  );
}

/** Short texts are replaced, but JSON (which begins with a bracket or is a bare value), ids and numbers are not. */
function markable(value: unknown): boolean {
  return typeof value === 'string' && !/^[-\d[{"]|^(?:true|false|null)$|^[0-9a-f-]{36}$/.test(value);
}
