import { inTenantAudit } from '#kit/database.ts';
import type { DataSubject, PersonalDataSet } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import { entryOf, mentionTerm, readHead, type EntryRow } from './entries.ts';
import { streamEntries } from './entry-stream.ts';

type PersonalRow = PersonalDataSet['rows'][number];

/**
 * Returns what the log holds of a person: every entry in which her id or her address stands, so what she did, what was
 * done to her and where she is named; and the evidence packs that she asked for or that are about her. Network data are
 * those of her own doings alone.
 */
export async function collectPersonalData(ctx: RequestContext, subject: DataSubject): Promise<PersonalDataSet[]> {
  const head = await inTenantAudit(ctx, readHead);
  const names = [subject.userId, subject.email].filter((name) => name !== null).map((name) => JSON.stringify(name));
  const events: PersonalRow[] = [];
  for await (const row of streamEntries(ctx, head, [mentionTerm(names)])) events.push(eventRow(row, subject));
  return [
    { store: 'audit.auditEvents', rows: events },
    { store: 'audit.evidencePacks', rows: await packsAbout(ctx, subject) },
  ];
}

function eventRow(row: EntryRow, { userId }: DataSubject): PersonalRow {
  const { outcome, event } = entryOf(row);
  const isActor = event.actor.id === userId;
  return {
    id: event.id,
    ts: event.ts,
    action: event.action,
    outcome,
    actor: isActor
      ? { type: event.actor.type, id: userId, ip: event.actor.ip, ua: event.actor.ua }
      : { type: event.actor.type },
    resource: event.resource,
    context: event.context,
    sessionId: isActor ? event.session_id : null,
  };
}

async function packsAbout(ctx: RequestContext, { userId }: DataSubject): Promise<PersonalRow[]> {
  const rows = await inTenantAudit(ctx, (tx) =>
    tx.query<{ id: string; kind: string; state: string; requested_at: Date; is_subject: boolean }>(
      `select id, kind, state, requested_at, subject_id is not distinct from $1::uuid as is_subject
         from evidence_packs where subject_id = $1 or requested_by = $2 order by requested_at, id`,
      [uuidOf('usr', userId), userId],
    ),
  );
  return rows.map((row) => ({
    id: idOf('evd', row.id),
    kind: row.kind,
    state: row.state,
    requestedAt: row.requested_at.toISOString(),
    isSubject: row.is_subject,
  }));
}
