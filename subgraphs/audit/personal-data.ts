import { inTenantAudit, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import type { DataSubject, ErasedStore, PersonalDataSet } from '#kit/personal-data.ts';
import { openEvents } from '#kit/personal-values.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import type { OpenedEvent } from '#schema/sealed-event.ts';
import { TENANT_SUBJECT } from '#kit/data-keys.ts';
import { entryOf, readHead, type EntryPlace, type EntryRow } from './entries.ts';
import { streamEntries } from './entry-stream.ts';
import { searchSealed } from './personal-search.ts';
import type { FoundEntries } from './search.ts';
import { requestsOf } from './privacy-requests.ts';
import { mentionQuery, phrasesOf } from './search-terms.ts';

type PersonalRow = PersonalDataSet['rows'][number];

/**
 * Returns what the log holds of a person: every entry in which her id or her address stands, so what she did, what was
 * done to her and where she is named; the evidence packs that she asked for or that are about her; and the saved views
 * that she made or that name her address, and what she has asked for. Network data are those of her own doings alone.
 */
export async function collectPersonalData(ctx: RequestContext, subject: DataSubject): Promise<PersonalDataSet[]> {
  const head = await inTenantAudit(ctx, readHead);
  const names = [subject.userId, subject.email].filter((name) => name !== null);
  const mayOpen = await keysAbout(ctx, subject);
  const found = new Map<string, PersonalRow>();
  for await (const rows of inPages(streamEntries(ctx, head, mentionQuery(names)))) {
    await addRows(ctx, { rows, subject, mayOpen, found });
  }
  if (subject.email !== null) {
    for await (const rows of sealedMentions(ctx, subject.email)) await addRows(ctx, { rows, subject, mayOpen, found });
  }
  return [
    { store: 'audit.auditEvents', rows: [...found.values()] },
    { store: 'audit.evidencePacks', rows: await packsAbout(ctx, subject) },
    { store: 'audit.auditViews', rows: await viewsAbout(ctx, subject) },
    { store: 'audit.privacyRequests', rows: await requestsOf(ctx, subject.userId) },
  ];
}

/**
 * Removes the evidence packs that are about an erased person, and withdraws those that may name her: they can be asked
 * for anew. Her personal views go, and every view that looks for her address. The log itself stays; its key is gone.
 */
export async function erasePersonalData(
  ctx: RequestContext,
  tx: TenantTransaction,
  { userId }: DataSubject,
): Promise<readonly ErasedStore[]> {
  const packs = await withdrawPacks(ctx, userId);
  await tx.query('select tenon.erase_audit_views($1)', [uuidOf('usr', userId)]);
  return [{ store: 'audit.evidencePacks', method: 'withdrawn', ...packs }];
}

async function withdrawPacks(
  ctx: RequestContext,
  userId: DataSubject['userId'],
): Promise<Pick<ErasedStore, 'rows' | 'left'>> {
  return inTenantAudit(ctx, async (tx) => {
    const withdrawn = await tx.query<{ id: string }>(
      `update evidence_packs set state = 'failed', size_bytes = null, sha256 = null, failure = $2
        where ${MAY_NAME_HER} returning id`,
      [uuidOf('usr', userId), WITHDRAWN],
    );
    await tx.query('delete from evidence_chunks where pack_id = any ($1::uuid[])', [withdrawn.map(({ id }) => id)]);
    const [left] = await tx.query<{ packs: number }>(
      `select count(*)::integer as packs from evidence_packs
        where ${MAY_NAME_HER} or (subject_id = $1 and exists (select from evidence_chunks c where c.pack_id = id))`,
      [uuidOf('usr', userId)],
    );
    return { rows: withdrawn.length, left: left?.packs ?? 0 };
  });
}

const MAY_NAME_HER = `(state = 'ready' and (subject_id = $1 or kind <> 'gdpr_access'))`;

/** Whether a view names an address; without one it does not. */
const NAMES_ADDRESS = `($2::text is not null and position(lower($2) in lower(concat_ws(' ', name, filter::text))) > 0)`;

const WITHDRAWN = 'It was withdrawn, since a person whom it may name was erased. Ask for it again.';
const PAGE_SIZE = 500;

/** Her own key and that of nobody in particular; what is sealed under another's is about somebody else. */
async function keysAbout(ctx: RequestContext, { userId }: DataSubject): Promise<(kid: string) => boolean> {
  const rows = await inTenantOnce(ctx, (tx) =>
    tx.query<{ kid: string }>('select kid from subject_keys where subject = any ($1::uuid[])', [
      [uuidOf('usr', userId), TENANT_SUBJECT],
    ]),
  );
  const kids = new Set(rows.map(({ kid }) => kid));
  return (kid) => kids.has(kid);
}

interface FoundRows {
  readonly rows: readonly EntryRow[];
  readonly subject: DataSubject;
  readonly mayOpen: (kid: string) => boolean;
  readonly found: Map<string, PersonalRow>;
}

async function addRows(ctx: RequestContext, { rows, subject, mayOpen, found }: FoundRows): Promise<void> {
  const entries = rows.map(entryOf);
  const opened = await openEvents(
    ctx,
    entries.map(({ event }) => event),
    mayOpen,
  );
  for (const [index, event] of opened.entries()) {
    const outcome = entries[index]?.outcome ?? null;
    found.set(event.id, eventRow({ event, outcome }, subject));
  }
}

/** Entries that name her address in a sealed value, such as a sign-in before her account was known. */
async function* sealedMentions(ctx: RequestContext, email: string): AsyncGenerator<readonly EntryRow[]> {
  for (let behind: EntryPlace | null = null; ;) {
    const search = { phrases: phrasesOf(email), terms: [], order: 'asc', behind, limit: PAGE_SIZE } as const;
    const { rows, stoppedAt }: FoundEntries = await searchSealed(ctx, search);
    yield rows;
    const last = rows.at(-1);
    if (stoppedAt === null && rows.length < PAGE_SIZE) return;
    behind = stoppedAt ?? (last === undefined ? null : { epoch: last.epoch, seq: last.seq });
  }
}

async function* inPages(rows: AsyncIterable<EntryRow>): AsyncGenerator<readonly EntryRow[]> {
  let page: EntryRow[] = [];
  for await (const row of rows) {
    page.push(row);
    if (page.length < PAGE_SIZE) continue;
    yield page;
    page = [];
  }
  yield page;
}

function eventRow(
  { event, outcome }: { readonly event: OpenedEvent; readonly outcome: string | null },
  { userId }: DataSubject,
): PersonalRow {
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

async function viewsAbout(ctx: RequestContext, { userId, email }: DataSubject): Promise<PersonalRow[]> {
  const rows = await inTenantOnce(ctx, (tx) =>
    tx.query<{ id: string; name: string; owner_id: string; filter: JsonValue; created_at: Date }>(
      `select id, name, owner_id, filter, created_at from audit_views
        where owner_id = $1 or ${NAMES_ADDRESS} order by created_at, id`,
      [userId, email],
    ),
  );
  return rows.map((row) => ({
    id: idOf('vew', row.id),
    name: row.name,
    isOwner: row.owner_id === userId,
    filter: row.filter,
    createdAt: row.created_at.toISOString(),
  }));
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
