import type pg from 'pg';
import type { AuditEvent } from '#schema/audit-event.ts';
import { isObject } from '#schema/json-object.ts';
import { sealedFields } from '#schema/sealed-event.ts';
import { uuidOf, uuidOrNull } from '#schema/ids.ts';

/** An entry that was just given its place, and the tokens that came with its event. */
export interface PlacedEntry {
  /** UUID. */
  readonly tenantId: string;
  readonly epoch: number;
  readonly seq: number;
  readonly leaf: Buffer;
  /** Null where it is known to tell of no erasure. */
  readonly event: AuditEvent | null;
  /** What stands in the outbox: names of keys with their tokens in base64url, or null. */
  readonly indexTokens: unknown;
}

/** Entries of one block: a token leads to so many. */
export const TOKEN_BLOCK_SIZE = 256;

/** The actions that tell of an erasure. */
export const ERASURE_ACTIONS: ReadonlySet<string> = new Set(['subject.erased', 'tenant.erased']);

/**
 * Stores, in the transaction that stores the entries, under which tokens they can be found, and the erasures that they
 * tell of. The heads of their logs are locked. A token of a key that is destroyed is left out.
 */
export async function recordPrivacy(client: pg.ClientBase, entries: readonly PlacedEntry[]): Promise<void> {
  await recordErasures(client, entries);
  const rows = tokenRows(entries);
  if (rows.length === 0) return;
  await client.query(
    `insert into log_index_tokens (tenant_id, token, key_id, epoch, block)
     select t.tenant_id, decode(t.token, 'hex'), t.key_id, t.epoch, t.block
       from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::integer[])
         as t (tenant_id, token, key_id, epoch, block)
      where not exists (select from erasures e where e.tenant_id = t.tenant_id
                          and (e.key_id = t.key_id or e.subject_id is null))
     on conflict do nothing`,
    [
      rows.map(({ tenantId }) => tenantId),
      rows.map(({ token }) => token),
      rows.map(({ keyId }) => keyId),
      rows.map(({ epoch }) => epoch),
      rows.map(({ block }) => block),
    ],
  );
}

/** An entry that came back from the archive. */
export interface ImportedEntry {
  /** UUID. */
  readonly tenantId: string;
  readonly epoch: number;
  readonly seq: number;
  readonly leaf: Buffer;
  readonly event: AuditEvent;
}

/**
 * Stores, in the transaction that stores the entries, the erasures that they tell of, and which blocks lack the tokens of
 * their sealed values. What was erased stays erased, also where the log that tells of it had to be read back.
 */
export async function recordImported(client: pg.ClientBase, entries: readonly ImportedEntry[]): Promise<void> {
  await recordErasures(
    client,
    entries.map((entry) => Object.assign({ indexTokens: null }, entry)),
  );
  const sealed = entries.filter(({ event }) => sealedFields(event).length > 0);
  if (sealed.length === 0) return;
  await client.query(
    `insert into log_token_gaps (tenant_id, epoch, block)
     select distinct tenant_id, epoch, block from unnest($1::uuid[], $2::integer[], $3::integer[]) as g (tenant_id, epoch, block)
     on conflict do nothing`,
    [
      sealed.map(({ tenantId }) => tenantId),
      sealed.map(({ epoch }) => epoch),
      sealed.map(({ seq }) => Math.floor(seq / TOKEN_BLOCK_SIZE)),
    ],
  );
}

interface TokenRow {
  readonly tenantId: string;
  /** Hex. */
  readonly token: string;
  readonly keyId: string;
  readonly epoch: number;
  readonly block: number;
}

/** In the order of the key, so that two transactions wait for each other but never both. */
function tokenRows(entries: readonly PlacedEntry[]): TokenRow[] {
  const rows = new Map<string, TokenRow>();
  for (const { tenantId, epoch, seq, indexTokens } of entries) {
    if (!isObject(indexTokens)) continue;
    const block = Math.floor(seq / TOKEN_BLOCK_SIZE);
    for (const [keyId, tokens] of Object.entries(indexTokens)) {
      for (const token of Array.isArray(tokens) ? tokens.map(tokenOf) : []) {
        if (token !== null)
          rows.set(`${tenantId} ${token} ${keyId} ${epoch} ${block}`, { tenantId, token, keyId, epoch, block });
      }
    }
  }
  return [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

function tokenOf(text: unknown): string | null {
  const token = typeof text === 'string' ? Buffer.from(text, 'base64url') : Buffer.alloc(0);
  return token.length === 16 ? token.toString('hex') : null;
}

async function recordErasures(client: pg.ClientBase, entries: readonly PlacedEntry[]): Promise<void> {
  for (const { event, ...place } of entries) {
    const erasure = event !== null && ERASURE_ACTIONS.has(event.action) ? erasureOf({ ...place, event }) : null;
    if (erasure !== null) await insertErasure(client, erasure);
  }
}

/** An erasure as the log tells of it. */
export interface ToldErasure {
  readonly tenantId: string;
  /** UUIDs. */
  readonly eventId: string;
  readonly subjectId: string | null;
  readonly epoch: number;
  readonly seq: number;
  readonly leaf: Buffer;
  readonly keyId: string | null;
  readonly basis: string;
  readonly request: string | null;
  readonly requestedAt: string;
}

/** Stores an erasure that is to be completed; false where it is known already. */
export async function insertErasure(client: pg.ClientBase | pg.Pool, erasure: ToldErasure): Promise<boolean> {
  const { rowCount } = await client.query(
    `insert into erasures (tenant_id, event_id, epoch, seq, leaf, subject_id, key_id, basis, request, requested_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (tenant_id, event_id) do nothing`,
    [
      erasure.tenantId,
      erasure.eventId,
      erasure.epoch,
      erasure.seq,
      erasure.leaf,
      erasure.subjectId,
      erasure.keyId,
      erasure.basis,
      erasure.request,
      erasure.requestedAt,
    ],
  );
  return rowCount === 1;
}

/** Null where the event does not say whose; such a one erases nobody. */
function erasureOf({ tenantId, epoch, seq, leaf, event }: PlacedEntry & { event: AuditEvent }): ToldErasure | null {
  const { kid, basis, request } = event.context;
  const isPerson = event.action === 'subject.erased';
  const [subjectId, keyId] = isPerson ? [uuidOrNull('usr', event.resource.id), kid] : [null, null];
  if (isPerson && (subjectId === null || typeof keyId !== 'string')) return null;
  return {
    tenantId,
    eventId: uuidOf('aud', event.id),
    epoch,
    seq,
    leaf,
    subjectId,
    keyId: typeof keyId === 'string' ? keyId : null,
    basis: typeof basis === 'string' ? basis : '',
    request: typeof request === 'string' ? request : null,
    requestedAt: event.ts,
  };
}
