import { pageOf, pageRequest, uuidAfter, type Connection } from '#kit/connection.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { PersonalDataSet } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import { requestEvidence } from './evidence.ts';
import { MONTHS_TO_ANSWER, monthsAfter, requireReceived } from './privacy-deadline.ts';
import type {
  ExtendPrivacyRequestInput,
  PrivacyRequest,
  PrivacyRequestArgs,
  PrivacyRequestKind,
  RequestSubjectAccessInput,
} from './privacy-request-model.ts';

/** What is entered about a person, and what is to answer it. */
export interface EnteredRequest {
  /** Public id of the person. */
  readonly subject: string;
  readonly kind: PrivacyRequestKind;
  readonly reference: string | null;
  readonly receivedAt: Date;
  /** Of the pack or of the event of the erasure. */
  readonly answer: Id<'evd'> | Id<'aud'>;
}

/**
 * Enters that a person asks for what is held of her, and has the access pack built. The pack is asked for first: where the
 * row then fails, the pack is there and asking again makes another. Who is no person of the tenant is found when the pack
 * is built; a date from the future, or of more than a year ago, is BAD_USER_INPUT.
 */
export async function requestSubjectAccess(
  ctx: RequestContext,
  { userId, receivedAt, reference }: RequestSubjectAccessInput,
): Promise<PrivacyRequest> {
  uuidOf('usr', userId);
  const received = requireReceived(receivedAt, ctx.clock());
  const window = { from: new Date(0), to: ctx.clock() };
  const { id } = await requestEvidence(ctx, { kind: 'gdpr_access', subject: userId, ...window });
  const answer = idOf('evd', uuidOf('evd', id));
  return inTenant(ctx, (tx) =>
    enterRequest(tx, ctx, {
      subject: userId,
      kind: 'access',
      reference: reference ?? null,
      receivedAt: received,
      answer,
    }),
  );
}

/** Enters a request with its audit event, in the transaction of the caller. */
export async function enterRequest(
  tx: TenantTransaction,
  ctx: RequestContext,
  { subject, kind, reference, receivedAt, answer }: EnteredRequest,
): Promise<PrivacyRequest> {
  const id = mintId('prq');
  const dueAt = monthsAfter(receivedAt, MONTHS_TO_ANSWER);
  const [row] = await tx.query<RequestRow>(
    `insert into privacy_requests (id, kind, subject_id, reference, received_at, due_at, requested_by, created_at, pack_id, event_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning ${COLUMNS}`,
    [
      uuidOf('prq', id),
      kind,
      uuidOf('usr', subject),
      reference,
      receivedAt,
      dueAt,
      ctx.tenant.actor.id,
      ctx.clock(),
      uuidOrNull('evd', answer),
      uuidOrNull('aud', answer),
    ],
  );
  await appendAudit(tx, ctx, {
    action: 'privacy_request.open',
    resource: { type: 'privacy_request', id, name: null },
    context: {
      subject,
      kind,
      reference,
      received_at: receivedAt.toISOString(),
      due_at: dueAt.toISOString(),
    },
  });
  return requestOf(row ?? fail('INTERNAL_SERVER_ERROR', 'the insert returned no row'), ctx.clock());
}

/**
 * Takes more time for a request, with its audit event in one transaction. One that is answered, overdue, or extended
 * already is CONFLICT, an unknown one NOT_FOUND.
 */
export async function extendRequest(
  ctx: RequestContext,
  { id, months, reason }: ExtendPrivacyRequestInput,
): Promise<PrivacyRequest> {
  return inTenant(ctx, async (tx) => {
    const now = ctx.clock();
    const [found] = await tx.query<RequestRow>(`select ${COLUMNS} from privacy_requests where id = $1 for update`, [
      uuidOf('prq', id),
    ]);
    if (found === undefined) return fail('NOT_FOUND', 'no such request in this tenant');
    if (requestOf(found, now).state !== 'open' || found.extended_at !== null)
      fail('CONFLICT', 'it cannot be extended', { hint: 'Only an open request is extended, once, before it is due.' });
    const dueAt = monthsAfter(found.received_at, MONTHS_TO_ANSWER + months);
    const [row] = await tx.query<RequestRow>(
      `update privacy_requests set due_at = $2, extended_at = $3, extension_reason = $4 where id = $1 returning ${COLUMNS}`,
      [found.id, dueAt, now, reason],
    );
    await appendAudit(tx, ctx, {
      action: 'privacy_request.extend',
      resource: { type: 'privacy_request', id, name: null },
      context: {
        subject: idOf('usr', found.subject_id),
        reason,
        previous_due_at: found.due_at.toISOString(),
        due_at: dueAt.toISOString(),
      },
    });
    return requestOf(row ?? fail('INTERNAL_SERVER_ERROR', 'the update returned no row'), now);
  });
}

/** Returns a page of the tenant's requests, newest first. */
export async function listRequests(ctx: RequestContext, args: PrivacyRequestArgs): Promise<Connection<PrivacyRequest>> {
  const request = pageRequest(args);
  const after = uuidAfter(request, 'prq');
  const now = ctx.clock();
  const rows = await inTenantOnce(ctx, (tx) =>
    tx.query<RequestRow>(
      `select ${COLUMNS} from privacy_requests where ($1::uuid is null or id < $1) and ($2::text is null or $2 =
          case when answered_at is not null then 'answered' when due_at < $3 then 'overdue' else 'open' end)
        order by id desc limit $4`,
      [after, args.state ?? null, now, request.limit],
    ),
  );
  return pageOf(
    rows.map((row) => requestOf(row, now)),
    request,
  );
}

/** Returns a request of the tenant, or null where she has none of that id. */
export async function findRequest(ctx: RequestContext, id: string): Promise<PrivacyRequest | null> {
  const [row] = await inTenantOnce(ctx, (tx) =>
    tx.query<RequestRow>(`select ${COLUMNS} from privacy_requests where id = $1`, [uuidOrNull('prq', id)]),
  );
  return row === undefined ? null : requestOf(row, ctx.clock());
}

/** Returns what a person has asked for, as it is handed out to her. */
export async function requestsOf(ctx: RequestContext, userId: string): Promise<PersonalDataSet['rows']> {
  const rows = await inTenantOnce(ctx, (tx) =>
    tx.query<RequestRow>(`select ${COLUMNS} from privacy_requests where subject_id = $1 order by id`, [
      uuidOrNull('usr', userId),
    ]),
  );
  return rows.map((row) => ({
    id: idOf('prq', row.id),
    kind: row.kind,
    receivedAt: row.received_at.toISOString(),
    dueAt: row.due_at.toISOString(),
    extensionReason: row.extension_reason,
    answeredAt: row.answered_at?.toISOString() ?? null,
  }));
}

interface RequestRow {
  readonly id: string;
  readonly kind: PrivacyRequestKind;
  readonly subject_id: string;
  readonly reference: string | null;
  readonly received_at: Date;
  readonly due_at: Date;
  readonly extended_at: Date | null;
  readonly extension_reason: string | null;
  readonly requested_by: string;
  readonly pack_id: string | null;
  readonly event_id: string | null;
  readonly answered_at: Date | null;
}

const COLUMNS = `id, kind, subject_id, reference, received_at, due_at, extended_at, extension_reason, requested_by, pack_id,
  event_id, answered_at`;

function requestOf(row: RequestRow, now: Date): PrivacyRequest {
  const openState = row.due_at < now ? 'overdue' : 'open';
  return {
    id: idOf('prq', row.id),
    kind: row.kind,
    subject: { id: idOf('usr', row.subject_id) },
    reference: row.reference,
    state: row.answered_at === null ? openState : 'answered',
    receivedAt: row.received_at,
    dueAt: row.due_at,
    extendedAt: row.extended_at,
    extensionReason: row.extension_reason,
    answeredAt: row.answered_at,
    requestedBy: row.requested_by,
    packId: row.pack_id === null ? null : idOf('evd', row.pack_id),
    erasureId: row.event_id === null ? null : idOf('aud', row.event_id),
  };
}
