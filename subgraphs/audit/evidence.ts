import type { Readable } from 'node:stream';
import { beginBulk, type BulkWork } from '#kit/bulk-lane.ts';
import { pageOf, pageRequest, uuidAfter, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { authorize } from '#kit/authorize.ts';
import { inTenant, inTenantAudit } from '#kit/database.ts';
import { appendAudit, recordAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, uuidOrNull } from '#schema/ids.ts';
import type { EvidenceKind, EvidencePack, EvidenceState, RequestEvidenceInput } from './evidence-pack.ts';

/** Packs of one tenant that may wait to be built; each is minutes of work for the worker that all tenants share. */
const MOST_OPEN = 20;

/**
 * Asks the worker for a pack. The log and the request lie in two databases, so the event is written first, with the
 * pack's id in it: a request that is nowhere else to be found has at least been recorded, and none is unrecorded.
 * A window that is empty, a subject where there must be none, or none where there must be one is BAD_USER_INPUT; more
 * than 20 unfinished packs are CONFLICT. An export of the whole tenant asks for `tenant:export`.
 */
export async function requestEvidence(ctx: RequestContext, input: RequestEvidenceInput): Promise<EvidencePack> {
  const subject = subjectOf(input);
  if (input.kind === 'tenant_export') authorize(ctx, 'tenant:export');
  if (!(input.from < input.to)) fail('BAD_USER_INPUT', 'the window is empty', { hint: '"to" must lie behind "from".' });
  await requireRoom(ctx);
  const id = mintId('evd');
  const asked = await recordAudit(ctx, {
    action: 'evidence.request',
    resource: { type: 'evidence_pack', id, name: null },
    context: {
      kind: input.kind,
      from: input.from.toISOString(),
      to: input.to.toISOString(),
      subject: input.subject ?? null,
    },
  });
  return inTenantAudit(ctx, async (tx) => {
    const [row] = await tx.query<PackRow>(
      `insert into evidence_packs (id, request_event, kind, subject_id, window_from, window_to, requested_by, requested_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8) returning ${COLUMNS}`,
      [
        uuidOf('evd', id),
        uuidOf('aud', asked.id),
        input.kind,
        subject,
        input.from,
        input.to,
        ctx.tenant.actor.id,
        ctx.clock(),
      ],
    );
    return row === undefined ? fail('INTERNAL_SERVER_ERROR', 'the insert returned no row') : packOf(ctx, row);
  });
}

/** Returns a page of the tenant's packs, newest first. */
export async function listEvidence(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<EvidencePack>> {
  const request = pageRequest(args);
  const after = uuidAfter(request, 'evd');
  const rows = await inTenantAudit(ctx, (tx) =>
    tx.query<PackRow>(
      `select ${COLUMNS} from evidence_packs where $1::uuid is null or id < $1 order by id desc limit $2`,
      [after, request.limit],
    ),
  );
  return pageOf(
    rows.map((row) => packOf(ctx, row)),
    request,
  );
}

/** Returns the pack; one of nobody or of another tenant is NOT_FOUND. */
export async function findEvidence(ctx: RequestContext, id: string): Promise<EvidencePack> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<PackRow>(`select ${COLUMNS} from evidence_packs where id = $1`, [uuidOf('evd', id)]),
  );
  return row === undefined ? fail('NOT_FOUND', 'no such pack in this tenant') : packOf(ctx, row);
}

/**
 * Returns the pack and its bytes, having recorded the download; until it is ready it is NOT_FOUND. An export of the whole
 * tenant asks for `tenant:export` too. One piece is in memory at a time, each read in a transaction of its own; a pack that
 * turns out shorter than it should be breaks off. It is bulk work, with the errors of `beginBulk`.
 */
export async function downloadEvidence(
  ctx: RequestContext,
  id: string,
): Promise<{ pack: EvidencePack; bytes: Readable }> {
  const pack = await findEvidence(ctx, id);
  if (pack.state !== 'ready' || pack.sizeBytes === null) {
    fail('NOT_FOUND', `the pack is ${pack.state}`, { hint: 'The pack is not ready.' });
  }
  // All that the tenant has is more than an auditor is shown.
  if (pack.kind === 'tenant_export') authorize(ctx, 'tenant:export');
  const bulk = await beginBulk(ctx);
  try {
    await recordDownload(ctx, pack);
  } catch (error) {
    bulk.end();
    throw error;
  }
  const chunks = bulk.paced(chunksOf(bulk, pack.id, pack.sizeBytes));
  return { pack, bytes: bulk.stream(chunks, { objectMode: false }) };
}

async function recordDownload(ctx: RequestContext, pack: EvidencePack): Promise<void> {
  await inTenant(ctx, async (tx) => {
    await appendAudit(tx, ctx, {
      action: 'evidence.download',
      resource: { type: 'evidence_pack', id: pack.id, name: null },
      context: { kind: pack.kind, sha256: pack.sha256 },
    });
    // Who fetches it hands it on: what it answers is answered.
    await tx.query('update privacy_requests set answered_at = $2 where pack_id = $1 and answered_at is null', [
      uuidOf('evd', pack.id),
      ctx.clock(),
    ]);
  });
}

interface PackRow {
  readonly id: string;
  readonly kind: EvidenceKind;
  readonly subject_id: string | null;
  readonly window_from: Date;
  readonly window_to: Date;
  readonly state: EvidenceState;
  readonly requested_by: string;
  readonly requested_at: Date;
  readonly finished_at: Date | null;
  readonly size_bytes: string | null;
  readonly sha256: Buffer | null;
  readonly failure: string | null;
}

const COLUMNS = `id, kind, subject_id, window_from, window_to, state, requested_by, requested_at, finished_at, size_bytes,
  sha256, failure`;

function packOf({ platform }: RequestContext, row: PackRow): EvidencePack {
  const id = idOf('evd', row.id);
  return {
    id,
    kind: row.kind,
    subject: row.subject_id === null ? null : { id: idOf('usr', row.subject_id) },
    from: row.window_from,
    to: row.window_to,
    state: row.state,
    requestedBy: row.requested_by,
    requestedAt: row.requested_at,
    finishedAt: row.finished_at,
    sizeBytes: row.size_bytes === null ? null : Number(row.size_bytes),
    sha256: row.sha256?.toString('hex') ?? null,
    failure: row.failure,
    downloadUrl: row.state === 'ready' ? `${platform.publicUrl}/v1/evidence/${id}/pack.zip` : null,
  };
}

function subjectOf({ kind, subject }: RequestEvidenceInput): string | null {
  if (kind !== 'gdpr_access') {
    return subject == null
      ? null
      : fail('BAD_USER_INPUT', `${kind} has no subject`, { hint: '"subject" is for gdpr_access alone.' });
  }
  const uuid = subject == null ? null : uuidOrNull('usr', subject);
  return (
    uuid ?? fail('BAD_USER_INPUT', 'gdpr_access without a subject', { hint: '"subject" must be the id of a user.' })
  );
}

async function requireRoom(ctx: RequestContext): Promise<void> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ open: number }>(
      `select count(*)::integer as open from evidence_packs where state in ('requested', 'building')`,
    ),
  );
  if ((row?.open ?? 0) >= MOST_OPEN) {
    fail('CONFLICT', 'too many packs wait', {
      hint: `${MOST_OPEN} packs are waiting already; ask again when one is ready.`,
    });
  }
}

async function* chunksOf({ ctx }: BulkWork, id: string, sizeBytes: number): AsyncGenerator<Buffer> {
  let [number, sent] = [-1, 0];
  while (sent < sizeBytes) {
    const [chunk] = await inTenantAudit(ctx, (tx) =>
      tx.query<{ number: number; bytes: Buffer }>(
        'select number, bytes from evidence_chunks where pack_id = $1 and number > $2 order by number limit 1',
        [uuidOf('evd', id), number],
      ),
    );
    if (chunk === undefined) fail('INTERNAL_SERVER_ERROR', `pack ${id} ends ${sizeBytes - sent} bytes early`);
    yield chunk.bytes;
    number = chunk.number;
    sent += chunk.bytes.length;
  }
}
