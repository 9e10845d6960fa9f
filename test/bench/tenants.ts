import { issueCredential } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { requestContext } from '#kit/request-context.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { makeDemoTenants } from '#subgraphs';
import { systemOrigin } from '../../subgraphs/tenants/operator.ts';
import { provisionTenant } from '../../subgraphs/tenants/provisioning.ts';
import type { BenchStores } from './stores.ts';

/** A tenant that requests are measured in. */
export interface BenchTenant {
  readonly id: string;
  /** A session of her administrator. */
  readonly token: string;
  /** The project with documents in it. */
  readonly projectId: string;
}

/** The database of the cell that all of them live in. */
export const CELL_DATABASE = 'cell_eu_1';
/** The schema beside the platform's with the same rows and no row-level security. */
export const PLAIN_SCHEMA = 'plain';

/**
 * So many that the budget of each, which refills at 1000 points a second, never stands in the way of a load that goes
 * round them all.
 */
const TENANTS = 40;
const SHOP_TENANTS = 8;
const PROJECTS = 50;
const DOCUMENTS = 10;
const AUTHORS = 3;
const DAY_MS = 24 * 3_600_000;

/** Makes the tenants with 50 projects each, beside the demo tenants, and copies their rows to the plain schema. */
export async function makeBenchTenants(stores: BenchStores): Promise<BenchTenant[]> {
  await makeDemoTenants(stores.platform);
  const tenants: BenchTenant[] = [];
  for (let number = 1; number <= TENANTS; number++) tenants.push(await makeTenant(stores, number));
  await stores.asSuperuser(CELL_DATABASE, PLAIN_COPY);
  return tenants;
}

/** Makes tenants for a benchmark that needs nothing of theirs but a session; returns the sessions' tokens. */
export async function makeShopTenants(stores: BenchStores): Promise<string[]> {
  const tokens: string[] = [];
  for (let number = 1; number <= SHOP_TENANTS; number++) tokens.push((await makeTenant(stores, number)).token);
  return tokens;
}

/** Tenants of one cell, made as a sign-up makes them. */
export interface ManyTenants {
  /** A session of each. */
  readonly tokens: readonly string[];
  /** What the sign-up of one of the last hundred took, median, in ms. */
  readonly lastSignUpMs: number;
}

/** Makes so many tenants with ten projects each; `made` hears how many there are. */
export async function makeManyTenants(
  stores: BenchStores,
  count: number,
  made: (done: number) => void,
): Promise<ManyTenants> {
  const tokens: string[] = [];
  const tookMs: number[] = [];
  for (let number = 1; number <= count; number++) {
    const started = performance.now();
    const signedUp = await signUp(stores, number);
    tookMs.push(performance.now() - started);
    tokens.push(await fill(stores, signedUp));
    made(number);
  }
  const last = tookMs.slice(-100).toSorted((a, b) => a - b);
  return { tokens, lastSignUpMs: last[Math.floor(last.length / 2)] ?? Number.NaN };
}

/** Gives every tenant budgets that no load of a benchmark uses up; they are checked and counted all the same. */
export async function liftBudgets(stores: BenchStores): Promise<void> {
  const rate = { capacity: 1_000_000_000, restorePerSecond: 10_000_000 };
  const subject = { points: { query: rate, mutation: rate, bulk: rate }, requests: rate };
  const limits = { maxQueryCost: 100_000, concurrency: 1_000, tenant: subject, client: subject, user: subject };
  await stores.asSuperuser('directory', `update app.tier_limits set limits = '${JSON.stringify(limits)}'`);
}

type SignedUp = Awaited<ReturnType<typeof signUp>>;

function signUp({ platform }: BenchStores, number: number) {
  const slug = `bench-${number}`;
  const admin = { adminEmail: `admin@${slug}.example`, adminName: 'Ada Admin' };
  const tenant = { slug, name: slug, tier: 'ENTERPRISE_PLUS', region: 'eu', state: 'active', ...admin } as const;
  return provisionTenant(platform, tenant, systemOrigin('bench', mintId('req')));
}

async function fill({ platform }: BenchStores, { context, adminUserId }: SignedUp): Promise<string> {
  return inTenant(requestContext(platform, context), async (tx) => {
    await tx.query(
      `insert into projects (id, name) select gen_random_uuid(), 'Project ' || n from generate_series(1, 10) n`,
    );
    const expiresAt = new Date(platform.clock().getTime() + DAY_MS);
    const session = { kind: 'session', userId: adminUserId, name: 'bench', expiresAt } as const;
    return (await issueCredential(tx, context.tenant, session)).token;
  });
}

async function makeTenant(stores: BenchStores, number: number): Promise<BenchTenant> {
  const { platform } = stores;
  const { context, adminUserId } = await signUp(stores, number);
  const projectId = mintId('prj');
  const token = await inTenant(requestContext(platform, context), async (tx) => {
    await tx.query(
      `insert into users (id, user_name, display_name) select gen_random_uuid(), 'author-' || n, 'Author ' || n from generate_series(1, $1::int) n`,
      [AUTHORS],
    );
    await tx.query(
      `insert into projects (id, name) select gen_random_uuid(), 'Project ' || n from generate_series(2, $1::int) n`,
      [PROJECTS],
    );
    await tx.query(`insert into projects (id, name) values ($1, 'Project 1')`, [uuidOf('prj', projectId)]);
    await tx.query(
      `insert into documents (id, project_id, name, author_id)
       select gen_random_uuid(), $1, 'Document ' || n, (select id from users where user_name = 'author-' || (1 + n % $3::int))
         from generate_series(1, $2::int) n`,
      [uuidOf('prj', projectId), DOCUMENTS, AUTHORS],
    );
    const expiresAt = new Date(platform.clock().getTime() + DAY_MS);
    return (
      await issueCredential(tx, context.tenant, { kind: 'session', userId: adminUserId, name: 'bench', expiresAt })
    ).token;
  });
  return { id: context.tenant, token, projectId };
}

/** The same indexes begin with the tenant there too, as a careful author without row-level security makes them. */
const PLAIN_COPY = `
create schema ${PLAIN_SCHEMA};
grant usage on schema ${PLAIN_SCHEMA} to tenon_app;
${['users', 'projects', 'documents']
  .map(
    (table) => `
create table ${PLAIN_SCHEMA}.${table} (like app.${table} including indexes including constraints);
insert into ${PLAIN_SCHEMA}.${table} select * from app.${table};
grant select on ${PLAIN_SCHEMA}.${table} to tenon_app;`,
  )
  .join('')}
analyze;
`;
