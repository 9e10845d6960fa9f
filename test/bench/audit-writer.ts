import { randomBytes } from 'node:crypto';
import { openDatabases, inTenant } from '#kit/database.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readContextKeys, readDataKeys } from '#kit/key-files.ts';
import { appendAudit, type AuditContext } from '#kit/outbox.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, type Id } from '#schema/ids.ts';
import { mintKid } from '#schema/sealed-field.ts';
import type { TenantContext } from '#schema/tenant-context.ts';

// Business transactions as the product writes them, in a process of their own: `appendAudit` under a tenant's context.

/** What to write: so many transactions of each tenant, one tenant after the other, so many of them at a time. */
export interface WritingOrder {
  readonly tenants: readonly Id<'tnt'>[];
  readonly rounds: number;
  readonly eventsPerTransaction: number;
  readonly callers: number;
  /** Whether the rows of a transaction go into the outbox in one statement, which no mutation does: to have many soon. */
  readonly isBulk?: boolean;
}

/** What it took. */
export interface WritingReport {
  readonly cpuMs: number;
  readonly elapsedMs: number;
}

const config = readConfig();
const databases = await openDatabases({
  ...storeSettings(config)('tenon_app'),
  keys: readContextKeys(config),
  dataKeys: readDataKeys(config),
  entities: [],
  poolSize: 8,
});

async function write(order: WritingOrder): Promise<WritingReport> {
  const { tenants, rounds, callers, eventsPerTransaction: count, isBulk = false } = order;
  const { user, system } = process.cpuUsage();
  const startedMs = performance.now();
  let next = 0;
  const caller = async () => {
    for (let index = next++; index < rounds * tenants.length; index = next++) {
      const ctx = { databases, clock: () => new Date(), tenant: contextOf(tenants[index % tenants.length] ?? none()) };
      await inTenant(ctx, (tx) => (isBulk ? writeTogether : writeEach)(tx, ctx, count));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const spent = process.cpuUsage({ user, system });
  return { cpuMs: (spent.user + spent.system) / 1000, elapsedMs: performance.now() - startedMs };
}

type Statement = Parameters<typeof appendAudit>[0];

async function writeEach(tx: Statement, ctx: AuditContext, count: number): Promise<void> {
  for (let event = 0; event < count; event++) {
    await appendAudit(tx, ctx, {
      action: 'document.share',
      resource: { type: 'document', id: mintId('doc'), name: 'Quarterly report' },
      context: { to: 'reader@example.com', permission: 'view' },
    });
  }
}

/** Events of the same form, one statement for all of them; what is sealed in them is under a key that nobody keeps. */
async function writeTogether(tx: Statement, ctx: AuditContext, count: number): Promise<void> {
  const rows: (readonly unknown[])[] = [];
  const query: Statement['query'] = async (text, values = []) => {
    if (!text.startsWith('select tenon.append_event(')) return tx.query(text, values);
    rows.push(values);
    return [];
  };
  await writeEach({ query }, { ...ctx, databases: { ...databases, personalKeys: UNKEPT } }, count);
  const column = (index: number) => rows.map((row) => row[index]);
  await tx.query(
    `insert into outbox (tenant_id, id, outcome, action_version, event, index_tokens)
     select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::jsonb[])`,
    [...[0, 1, 2, 3, 4].map(column), column(5).map((tokens) => JSON.stringify(tokens))],
  );
}

const KEY = { kid: mintKid(), secret: randomBytes(32) };
const UNKEPT = { ...databases.personalKeys, sealing: async () => ({ index: KEY.secret, of: () => KEY }) };

/** One person works in every tenant; whose key was made is known from then on. */
const USER = mintId('usr');

function contextOf(tenant: Id<'tnt'>): TenantContext {
  return {
    tenant,
    tier: 'FREE',
    region: 'eu',
    cell: 'eu-1',
    state: 'active',
    actor: { type: 'user', id: USER, ip: '203.0.113.7', ua: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0)' },
    scopes: [],
    sessionId: mintId('ses'),
    epoch: 0,
    client: null,
    requestId: mintId('req'),
  };
}

function none(): never {
  throw new Error('there are no tenants');
}

process.on('message', (order: WritingOrder) => {
  write(order).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit(0));
process.send?.('ready');
