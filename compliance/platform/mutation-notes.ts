import type { Statements } from '#kit/cell-stores.ts';

/** A mutation that a gateway let through. */
export interface NotedMutation {
  /** UUIDv7 made when it was answered. */
  readonly id: string;
  readonly requestId: string;
  readonly action: string;
  readonly at: Date;
  /** False where the gateway was killed while it was under way. */
  readonly isAnswered: boolean;
}

/** The same mutations of one request, and the events that speak of them. */
export interface MutationGroup {
  readonly requestId: string;
  readonly action: string;
  readonly notes: readonly NotedMutation[];
}

/** Requests held against the log at a time. */
const MOST_NOTES = 5_000;

/** Returns the tenants that have a note from before a time. */
export async function tenantsWithNotes(tenants: Statements, before: Date): Promise<string[]> {
  const { rows } = await tenants.query<{ tenant_id: string }>(
    'select distinct tenant_id from mutation_notes where noted_at < $1 order by tenant_id',
    [before],
  );
  return rows.map(({ tenant_id: id }) => id);
}

/** Tells whether any tenant has a note from before a time. */
export async function hasNotes(tenants: Statements, before: Date): Promise<boolean> {
  const { rows } = await tenants.query('select from mutation_notes where noted_at < $1 limit 1', [before]);
  return rows.length > 0;
}

/**
 * Returns notes of requests that began before a time, oldest requests first, in whole requests: two mutations of one
 * request are held against its events together, also where an hour ended between them.
 */
export async function readNotes(
  tenants: Statements,
  { tenantId, before, after }: { tenantId: string; before: Date; after: string },
): Promise<NotedMutation[]> {
  const { rows } = await tenants.query<NoteRow>(
    `select n.id, n.request_id, n.action, n.noted_at, n.answered from mutation_notes n
      where n.tenant_id = $1 and n.request_id in (
        select request_id from mutation_notes
         where tenant_id = $1 and noted_at < $2 and request_id > $3
         group by request_id order by request_id limit $4)
      order by n.request_id, n.action, n.id`,
    [tenantId, before, after, MOST_NOTES],
  );
  return rows.map(({ id, request_id: requestId, action, noted_at: at, answered: isAnswered }) => ({
    id,
    requestId,
    action,
    at,
    isAnswered,
  }));
}

interface NoteRow {
  readonly id: string;
  readonly request_id: string;
  readonly action: string;
  readonly noted_at: Date;
  readonly answered: boolean;
}

/** Returns the notes by request and action. */
export function groupNotes(notes: readonly NotedMutation[]): MutationGroup[] {
  const groups = new Map<string, NotedMutation[]>();
  for (const note of notes) {
    const key = groupKey(note);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [note]);
    else group.push(note);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    return first === undefined ? [] : [{ requestId: first.requestId, action: first.action, notes: group }];
  });
}

/** Returns what names the mutations of one action of one request. */
export function groupKey({ requestId, action }: Pick<MutationGroup, 'requestId' | 'action'>): string {
  return `${requestId} ${action}`;
}

/** Marks notes as about to be counted. */
export async function markBatch(
  tenants: Statements,
  { tenantId, ids, batch }: { tenantId: string; ids: readonly string[]; batch: string },
): Promise<void> {
  await tenants.query('update mutation_notes set batch = $3 where tenant_id = $1 and id = any ($2::uuid[])', [
    tenantId,
    ids,
    batch,
  ]);
}

/** Deletes the notes of a batch that has been counted. */
export async function deleteBatch(tenants: Statements, tenantId: string, batch: string): Promise<void> {
  await tenants.query('delete from mutation_notes where tenant_id = $1 and batch = $2', [tenantId, batch]);
}
