import { pageOf, pageRequest, uuidAfter, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, inTenantAudit, type TenantTransaction } from '#kit/database.ts';
import { isHeld } from '#kit/legal-hold.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { ErasedStore } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { canonicalJson, type JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, uuidOrNull } from '#schema/ids.ts';
import type { EraseSubjectInput, Erasure, ErasureStore } from './personal-erasure-model.ts';
import { requireReceived } from './privacy-deadline.ts';
import { enterRequest } from './privacy-requests.ts';
import { findProofs } from './proof.ts';

/**
 * Erases a person: destroys her key, so that from this commit on nobody can read what the log and its archive hold of
 * her, and writes the event that proves it, in one transaction. The worker then removes the rest and makes the
 * certificate. Unknown people are NOT_FOUND; whoever is erased already, or kept by a legal hold, is CONFLICT; nobody
 * erases herself (FORBIDDEN).
 */
export async function eraseSubject(
  ctx: RequestContext,
  { userId, basis, request, receivedAt }: EraseSubjectInput,
): Promise<Erasure> {
  const subject = uuidOf('usr', userId);
  if (ctx.tenant.actor.id === userId)
    fail('FORBIDDEN', 'an administrator would erase herself', { hint: 'Another administrator has to erase you.' });
  const received = requireReceived(receivedAt, ctx.clock());
  return inTenant(ctx, async (tx) => {
    if (await isHeld(tx))
      fail('CONFLICT', 'a legal hold keeps what would be erased', {
        hint: 'A legal hold keeps it; it has to be released first.',
      });
    await requireErasable(tx, subject);
    const now = ctx.clock();
    const kid = await ctx.databases.personalKeys.destroySubject(tx, ctx.tenant.tenant, { subject, now });
    const event = await appendAudit(tx, ctx, {
      action: 'subject.erased',
      resource: { type: 'user', id: userId, name: null },
      context: { kid, basis, request: request ?? null },
    });
    await enterRequest(tx, ctx, {
      subject: userId,
      kind: 'erasure',
      reference: request ?? null,
      receivedAt: received,
      answer: idOf('aud', uuidOf('aud', event.id)),
    });
    return {
      id: event.id,
      subject: { id: userId },
      keyId: kid,
      basis,
      request: request ?? null,
      state: 'requested',
      requestedAt: now,
      erasedAt: null,
      certificateUrl: null,
      stores: [],
    };
  });
}

/** Returns a page of the tenant's erasures, newest first; one shows here once the log holds its event. */
export async function listErasures(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<Erasure>> {
  const request = pageRequest(args);
  const after = uuidAfter(request, 'aud');
  const rows = await inTenantAudit(ctx, (tx) =>
    tx.query<ErasureRow>(
      `select ${COLUMNS} from erasures where $1::uuid is null or event_id < $1 order by event_id desc limit $2`,
      [after, request.limit],
    ),
  );
  return pageOf(
    rows.map((row) => erasureOf(ctx, row)),
    request,
  );
}

/** Returns the erasure that an event tells of, or null where the log holds none of that id. */
export async function findErasure(ctx: RequestContext, id: string): Promise<Erasure | null> {
  const row = await readErasure(ctx, id);
  return row === null ? null : erasureOf(ctx, row);
}

/**
 * Returns the certificate of an erasure (docs/formats.md): the signed statement, and the proof that its event stands in
 * the log under a signed checkpoint. NOT_FOUND until both are there.
 */
export async function erasureCertificate(ctx: RequestContext, id: string): Promise<string> {
  const row = (await readErasure(ctx, id)) ?? fail('NOT_FOUND', 'no such erasure in this tenant');
  const [proof] = await findProofs(ctx, [id]);
  const tlogProof = proof?.tlogProof ?? null;
  if (row.statement === null || tlogProof === null)
    return fail('NOT_FOUND', 'the certificate is not made yet', {
      hint: 'The certificate is made when all is erased and its event is sealed, within minutes.',
    });
  return canonicalJson({ v: 1, statement: JSON.parse(row.statement) as JsonValue, proof: tlogProof });
}

async function requireErasable(tx: TenantTransaction, subject: string): Promise<void> {
  const [key] = await tx.query<{ destroyed: boolean }>(
    'select destroyed_at is not null as destroyed from subject_keys where subject = $1 for update',
    [subject],
  );
  if (key?.destroyed === true) fail('CONFLICT', 'her key is destroyed', { hint: 'She has been erased already.' });
  const [user] = key === undefined ? await tx.query('select id from users where id = $1', [subject]) : [key];
  if (user === undefined) fail('NOT_FOUND', 'no such person in this tenant');
}

interface ErasureRow {
  readonly event_id: string;
  readonly subject_id: string | null;
  readonly key_id: string | null;
  readonly basis: string;
  readonly request: string | null;
  readonly requested_at: Date;
  readonly erased_at: Date | null;
  readonly statement: string | null;
  readonly held_since: Date | null;
  readonly stores: readonly (ErasedStore & { readonly kept_until: string | null })[] | null;
}

const COLUMNS = 'event_id, subject_id, key_id, basis, request, requested_at, erased_at, statement, held_since, stores';

async function readErasure(ctx: RequestContext, id: string): Promise<ErasureRow | null> {
  const uuid = uuidOrNull('aud', id);
  const rows = await inTenantAudit(ctx, (tx) =>
    tx.query<ErasureRow>(`select ${COLUMNS} from erasures where event_id = $1`, [uuid]),
  );
  return rows[0] ?? null;
}

function erasureOf(ctx: RequestContext, row: ErasureRow): Erasure {
  const id = idOf('aud', row.event_id);
  const isErased = row.statement !== null;
  return {
    id,
    subject: row.subject_id === null ? null : { id: idOf('usr', row.subject_id) },
    keyId: row.key_id,
    basis: row.basis,
    request: row.request,
    state: isErased ? 'erased' : row.held_since === null ? 'requested' : 'held',
    requestedAt: row.requested_at,
    erasedAt: isErased ? row.erased_at : null,
    stores: (row.stores ?? []).map(storeOf),
    certificateUrl: isErased ? `${ctx.platform.publicUrl}/v1/audit/erasures/${id}/certificate` : null,
  };
}

function storeOf({ kept_until: until, ...store }: ErasedStore & { readonly kept_until: string | null }): ErasureStore {
  return { ...store, keptUntil: until === null ? null : new Date(until) };
}
