import { inTenant } from '#kit/database.ts';
import { systemContext } from '#kit/credential.ts';
import type { DataSubject, PersonalDataHandler } from '#kit/personal-data.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { idOf, mintId } from '#schema/ids.ts';
import type { ErasedRows } from './erasure-statement.ts';
import type { ErasureRow } from './erasure-store.ts';

/** Who removes what a subgraph holds of a person. */
export interface ErasingPart {
  readonly subgraph: string;
  readonly handler: Pick<PersonalDataHandler, 'erase'>;
}

/** What erasing in a cell needs; the platform is opened as `tenon_worker`. */
export interface Eraser {
  readonly platform: Platform;
  readonly parts: readonly ErasingPart[];
}

/**
 * Removes, in one transaction of the tenant's cell, what is left of an erased person: her key where a backup brought it
 * back, and what every subgraph holds of her; of an ended tenant the key. Returns what went. Done again it does nothing.
 */
export async function eraseFromCell({ platform, parts }: Eraser, row: ErasureRow): Promise<ErasedRows[]> {
  const tenant = idOf('tnt', row.tenant_id);
  const context = await systemContext(platform.databases, tenant, { name: 'erasure', requestId: mintId('req') });
  const ctx = requestContext(platform, context);
  const { personalKeys } = platform.databases;
  const now = platform.clock();
  return inTenant(ctx, async (tx) => {
    if (row.subject_id === null) {
      const isDestroyed = await personalKeys.destroyTenant(tx, tenant, now);
      return [{ store: 'keys.tenant', rows: isDestroyed ? 1 : 0 }];
    }
    const destroyed = { subject: row.subject_id, now, ...(row.key_id === null ? {} : { kid: row.key_id }) };
    await personalKeys.destroySubject(tx, tenant, destroyed);
    const [user] = await tx.query<{ email: string | null }>('select email from users where id = $1', [row.subject_id]);
    const subject: DataSubject = { userId: idOf('usr', row.subject_id), email: user?.email ?? null };
    const stores: ErasedRows[] = [];
    for (const { handler } of accountLast(parts)) stores.push(...(await handler.erase(ctx, tx, subject)));
    await tx.query('update subject_keys set cleared_at = $2 where subject = $1', [row.subject_id, now]);
    return stores;
  });
}

/** What others know by her address goes before the address itself does. */
function accountLast(parts: readonly ErasingPart[]): ErasingPart[] {
  return parts.toSorted((a, b) => Number(a.subgraph === 'identity') - Number(b.subgraph === 'identity'));
}

/** Returns whether the cell holds something of an erased person, or the key of an ended tenant, again. */
export async function hasReappeared({ platform }: Eraser, rows: readonly ErasureRow[]): Promise<ErasureRow[]> {
  const [first] = rows;
  if (first === undefined) return [];
  const tenant = idOf('tnt', first.tenant_id);
  const context = await systemContext(platform.databases, tenant, { name: 'erasure', requestId: mintId('req') });
  const subjects = rows.flatMap(({ subject_id: subject }) => (subject === null ? [] : [subject]));
  const state = await readState(requestContext(platform, context), subjects);
  return rows.filter(({ subject_id: subject }) =>
    subject === null ? state.hasTenantKey : !state.cleared.has(subject) || state.present.has(subject),
  );
}

interface CellState {
  readonly hasTenantKey: boolean;
  /** Erased to the end. */
  readonly cleared: ReadonlySet<string>;
  /** Have an account. */
  readonly present: ReadonlySet<string>;
}

async function readState(ctx: RequestContext, subjects: readonly string[]): Promise<CellState> {
  return inTenant(ctx, async (tx) => {
    const tenantKeys = await tx.query('select from tenant_keys where wrapped is not null');
    const cleared = await tx.query<{ subject: string }>(
      'select subject from subject_keys where subject = any ($1::uuid[]) and wrapped is null and cleared_at is not null',
      [subjects],
    );
    const present = await tx.query<{ id: string }>('select id from users where id = any ($1::uuid[])', [subjects]);
    return {
      hasTenantKey: tenantKeys.length > 0,
      cleared: new Set(cleared.map(({ subject }) => subject)),
      present: new Set(present.map(({ id }) => id)),
    };
  });
}
