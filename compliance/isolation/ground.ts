import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { WORKER_READ_TABLES, WORKER_TABLES } from '#kit/catalog-table-rules.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { databaseToken, type ContextKeys } from '#schema/tenant-context.ts';
import { ATTACKS_ON_CONTEXT } from './attacks-on-context.ts';
import { ATTACKS_ON_ROWS } from './attacks-on-rows.ts';
import { sayOver, type Attack, type Ground, type MadeUpTenant, type Victims } from './attack.ts';

/** Every attack that needs nothing of a deployment but its stores, by the number of its vector. */
export const ATTACKS: readonly Attack[] = [...ATTACKS_ON_ROWS, ...ATTACKS_ON_CONTEXT].toSorted(
  (left, right) => left.vector - right.vector,
);

/** What became of an attack. */
export interface AttackResult extends Pick<Attack, 'vector' | 'sentence'> {
  /** What leaked or went through, or why nothing can be said; null where the wall held. */
  readonly fault: string | null;
  readonly verdict: 'pass' | 'fail' | 'cannot say';
}

/** The store in which it is attacked, and by which of the roles that act there. */
export interface Place {
  readonly kind: 'cell' | 'audit';
  /** Name of the cell that it is a store of. */
  readonly cell: string;
  readonly role: 'tenon_app' | 'tenon_worker' | 'tenon_support';
}

/**
 * Runs attacks one after the other in the caller's transaction, which must end in a rollback and already has the rights of
 * the role; each begins where the one before began.
 */
export async function runAttacks(
  client: pg.ClientBase,
  at: Place & { readonly keys: ContextKeys; readonly now: Date; readonly attacks?: readonly Attack[] },
): Promise<AttackResult[]> {
  const ground = await openGround(client, at);
  const results: AttackResult[] = [];
  for (const { vector, sentence, run } of at.attacks ?? ATTACKS) {
    await client.query('savepoint ground');
    const found = await run(ground).then(
      (fault) => ({ fault, verdict: fault === null ? ('pass' as const) : ('fail' as const) }),
      (error: unknown) => ({ fault: String(error), verdict: 'cannot say' as const }),
    );
    await client.query('rollback to savepoint ground');
    results.push({ vector, sentence, ...found });
  }
  return results;
}

/** Where the application may write what only the attack knows. */
const VICTIMS: Readonly<Record<Place['kind'], Victims>> = {
  cell: { table: 'app.projects', columns: 'id, name', values: `$1, 'isolation'`, changed: 'name' },
  audit: {
    table: 'app.evidence_packs',
    columns: 'id, kind, window_from, window_to, requested_by',
    values: `$1, 'soc2', '2026-01-01', '2026-02-01', 'isolation'`,
    changed: null,
  },
};

async function openGround(
  client: pg.ClientBase,
  { kind, cell, role, keys, now }: Place & { readonly keys: ContextKeys; readonly now: Date },
): Promise<Ground> {
  const say = (sql: string, values: readonly unknown[] = []) => sayOver(client, sql, values);
  const as = async (tenant: MadeUpTenant | null): Promise<void> => {
    await client.query(`select set_config('app.tenant', $1, true)`, [tenant?.token ?? '']);
  };
  const isWorker = role === 'tenon_worker';
  const ground: Ground = {
    a: madeUpTenant(cell, keys, now),
    b: madeUpTenant(cell, keys, now),
    nobody: madeUpTenant(cell, keys, now),
    victims: role === 'tenon_app' ? VICTIMS[kind] : null,
    readable: await readableRelations(client),
    openWithoutContext: new Set(isWorker ? [...WORKER_TABLES, ...WORKER_READ_TABLES].map((name) => `app.${name}`) : []),
    as,
    say,
  };
  await settle(client, ground, kind);
  return ground;
}

function madeUpTenant(cell: string, keys: ContextKeys, now: Date): MadeUpTenant {
  const tenant = mintId('tnt');
  const tokenFor = (name: string) => databaseToken({ tenant, cell: name }, keys, now.getTime());
  return {
    uuid: uuidOf('tnt', tenant),
    token: tokenFor(cell),
    tokenElsewhere: tokenFor(`not-${cell}`),
    row: randomUUID(),
  };
}

async function readableRelations(client: pg.ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'app' and c.relkind in ('r', 'p', 'v', 'm', 'f') and has_any_column_privilege(c.oid, 'select')
      order by 1`,
  );
  return rows.map(({ name }) => name);
}

/** Gives each tenant one row, through the wall and by its rules. */
async function settle(client: pg.ClientBase, { a, b, as, victims }: Ground, kind: Place['kind']): Promise<void> {
  if (victims === null) return;
  for (const { tenant, slug } of [
    { tenant: a, slug: 'isolation-a' },
    { tenant: b, slug: 'isolation-b' },
  ]) {
    await as(tenant);
    if (kind === 'cell')
      await client.query(
        `insert into app.tenants (slug, name, tier, region, cell, state)
         values ($1, $1, 'FREE', 'nowhere', 'nowhere', 'active')`,
        [slug],
      );
    await client.query(`insert into ${victims.table} (${victims.columns}) values (${victims.values})`, [tenant.row]);
  }
}
