import { inTenant } from '#kit/database.ts';
import { systemContext } from '#kit/credential.ts';
import type { DataSubject, ErasedStore, PersonalDataHandler } from '#kit/personal-data.ts';
import { countAbout, tablePersonOf, type StoreCount } from '#kit/personal-tables.ts';
import { isHeld } from '#kit/legal-hold.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId } from '#schema/ids.ts';
import type { ErasureRow } from './erasure-store.ts';

/** Who removes what a subgraph holds of a person. */
export interface ErasingPart {
  readonly subgraph: string;
  readonly handler: Pick<PersonalDataHandler, 'erase' | 'tables'>;
}

/** What erasing in a cell needs; the platform is opened as `tenon_worker`. */
export interface Eraser {
  readonly platform: Platform;
  readonly parts: readonly ErasingPart[];
}

/** What of an erasure in a cell is told apart from the person herself. */
export interface ErasedPerson extends Pick<ErasureRow, 'tenant_id' | 'key_id'> {
  /** UUID. */
  readonly subject_id: string;
}

/** Why an erasure has not come to its end: a legal hold stops it, or its time for now is over. It goes on later. */
export type Stopped = 'held' | 'unfinished';

/**
 * Removes, in one transaction of the tenant's cell, what is left of an erased person: her key where a backup brought it
 * back, and what every subgraph holds of her. Returns what went, store by store, and as long as the cell knows it the same
 * each time. Where a search finds anything afterwards all is rolled back, and it throws. A legal hold stops it, unless it
 * was done once before.
 */
export async function erasePerson(
  { platform, parts }: Eraser,
  person: ErasedPerson,
  { again }: { readonly again: boolean },
): Promise<readonly ErasedStore[] | Stopped> {
  const ctx = await erasureContext(platform, person.tenant_id);
  const { personalKeys } = platform.databases;
  const now = platform.clock();
  return inTenant(ctx, async (tx) => {
    if (!again && (await isHeld(tx))) return 'held';
    const { subject_id: subject, key_id: kid } = person;
    const publicId = idOf('usr', subject);
    await personalKeys.destroySubject(tx, ctx.tenant.tenant, { subject, now, ...(kid === null ? {} : { kid }) });
    const known = await tablePersonOf(tx, publicId);
    const [user] = await tx.query<{ email: string | null }>('select email from users where id = $1', [subject]);
    const named: DataSubject = { userId: publicId, email: user?.email ?? null };
    const tables = tablesOf(parts);
    const before = await countAbout(tx, tables, known);
    const outside: ErasedStore[] = [];
    for (const { handler } of accountLast(parts)) outside.push(...(await handler.erase(ctx, tx, named)));
    const stores = [...compared(before, await countAbout(tx, tables, known)), ...outside];
    requireNothingLeft(stores);
    await tx.query(
      `update privacy_requests set answered_at = $2 where kind = 'erasure' and subject_id = $1 and answered_at is null`,
      [subject, now],
    );
    const [row] = await tx.query<{ cleared: ErasedStore[] }>(
      `update subject_keys set cleared_at = $2, cleared = coalesce(cleared, $3::jsonb) where subject = $1 returning cleared`,
      [subject, now, JSON.stringify(stores)],
    );
    return row?.cleared ?? stores;
  });
}

/** Opens a context in which the worker erases in a tenant. */
export async function erasureContext(platform: Platform, tenantId: string): Promise<RequestContext> {
  const purpose = { name: 'erasure', requestId: mintId('req') };
  return requestContext(platform, await systemContext(platform.databases, idOf('tnt', tenantId), purpose));
}

/** Passes where the searches have found nothing; anything else is a fault of an eraser, and must not be certified. */
export function requireNothingLeft(stores: readonly ErasedStore[]): void {
  const remaining = stores.filter(({ method, left }) => method !== 'key_destroyed' && left > 0);
  if (remaining.length > 0)
    fail('INTERNAL_SERVER_ERROR', `not erased: ${remaining.map(({ store }) => store).join(', ')}`);
}

function tablesOf(parts: readonly ErasingPart[]): PersonalDataHandler['tables'] {
  return Object.fromEntries(parts.flatMap(({ handler }) => Object.entries(handler.tables)));
}

function compared(before: readonly StoreCount[], after: readonly StoreCount[]): ErasedStore[] {
  return before.map(({ store, method, rows }, place) => {
    const left = after[place]?.rows ?? 0;
    return { store, method, rows: rows - left, left };
  });
}

/** What others know by her address goes before the address itself does. */
function accountLast(parts: readonly ErasingPart[]): ErasingPart[] {
  return parts.toSorted((a, b) => Number(a.subgraph === 'identity') - Number(b.subgraph === 'identity'));
}

/** Returns those of a tenant's erased people of whom the cell holds something again. */
export async function hasReappeared(
  { platform }: Eraser,
  rows: readonly (ErasureRow & ErasedPerson)[],
): Promise<(ErasureRow & ErasedPerson)[]> {
  const [first] = rows;
  if (first === undefined) return [];
  const ctx = await erasureContext(platform, first.tenant_id);
  const subjects = rows.map(({ subject_id: subject }) => subject);
  const gone = await inTenant(ctx, (tx) =>
    // Of a tenant who is erased herself nothing is left to know them by.
    tx.query<{ subject: string }>(
      `select s.subject from unnest($1::uuid[]) as s (subject) where exists (select from tenants where state = 'erased')
          or (exists (select from subject_keys k where k.subject = s.subject and wrapped is null and cleared_at is not null)
              and not exists (select from users u where u.id = s.subject))`,
      [subjects],
    ),
  );
  const erased = new Set(gone.map(({ subject }) => subject));
  return rows.filter(({ subject_id: subject }) => !erased.has(subject));
}
