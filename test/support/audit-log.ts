import { hash } from 'node:crypto';
import type pg from 'pg';
import {
  entryBytes,
  entryLeaf,
  ZERO_PREV,
  type AuditActor,
  type AuditEvent,
  type AuditOutcome,
  type AuditResource,
} from '#schema/audit-event.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { idOf, mintId, uuidOf, type Id } from '#schema/ids.ts';
import { Frontier, type NodeAddress } from '#schema/merkle.ts';
import { noteVerifier, signNote, type NoteVerifier } from '#schema/signed-note.ts';
import { withClient } from './postgres.ts';
import { TEST_SIGNING_KEY } from './signing-key.ts';

/** An event as a test describes it; what it leaves out is filled in. */
export interface EventDraft {
  readonly id?: Id<'aud'>;
  readonly action?: string;
  readonly actor?: Partial<AuditActor>;
  readonly resource?: Partial<AuditResource>;
  readonly context?: Readonly<Record<string, JsonValue>>;
  readonly outcome?: AuditOutcome;
  readonly ts?: string;
}

/** An entry as it was written. */
export interface WrittenEntry {
  readonly event: AuditEvent;
  readonly seq: number;
  readonly text: string;
  readonly leaf: Buffer;
}

/** A tenant's log, written as the worker writes it: entries, tiles and head in one transaction, then a checkpoint. */
export interface WrittenLog {
  readonly origin: string;
  readonly verifier: NoteVerifier;
  readonly entries: readonly WrittenEntry[];
  /** The root over all entries so far. */
  root(): Buffer;
  append(drafts: readonly EventDraft[]): Promise<WrittenEntry[]>;
  /** Seals all entries that are not sealed yet and returns the signed note. */
  seal(): Promise<string>;
}

/** Begins a tenant's log in an audit database, reached as the worker. */
export function beginLog({ url, tenant, epoch = 1 }: { url: string; tenant: string; epoch?: number }): WrittenLog {
  const name: LogName = { uuid: uuidOf('tnt', tenant), epoch };
  const origin = `tenon.test/audit/${tenant}/${epoch}`;
  const frontier = new Frontier();
  const entries: WrittenEntry[] = [];
  let [sealedSize, segment] = [0, 0];
  return {
    origin,
    verifier: noteVerifier(TEST_SIGNING_KEY.name, TEST_SIGNING_KEY.publicKey),
    entries,
    root: () => frontier.root(),
    append: async (drafts) => {
      const tiles: TileRow[] = [];
      const added = drafts.map((draft) => {
        const prev = entries.at(-1)?.leaf.toString('hex') ?? ZERO_PREV;
        const entry = entryOf(draft, { tenant: idOf('tnt', name.uuid), seq: entries.length, prev });
        frontier.append(entry.leaf, (address, node) => tiles.push(...tileOf(address, node)));
        entries.push(entry);
        return entry;
      });
      await withClient(url, (client) => insertAll(client, name, { added, tiles, frontier }));
      return added;
    },
    seal: async () => {
      const text = encodeCheckpoint({ origin, size: frontier.size, root: frontier.root() });
      const note = signNote(text, TEST_SIGNING_KEY);
      const body = Buffer.from(
        entries
          .slice(sealedSize)
          .map((entry) => `${entry.text}\n`)
          .join(''),
      );
      const row = { number: segment, first: sealedSize, count: frontier.size - sealedSize, body, frontier, note };
      await withClient(url, (client) => insertSegment(client, name, row));
      [sealedSize, segment] = [frontier.size, segment + 1];
      return note;
    },
  };
}

interface LogName {
  readonly uuid: string;
  readonly epoch: number;
}

interface TileRow {
  readonly level: number;
  readonly index: number;
  readonly node: Buffer;
}

function entryOf(draft: EventDraft, place: { tenant: Id<'tnt'>; seq: number; prev: string }): WrittenEntry {
  const event: AuditEvent = {
    id: draft.id ?? mintId('aud'),
    tenant_id: place.tenant,
    actor: { type: 'system', id: 'test', ip: null, ua: null, ...draft.actor },
    action: draft.action ?? 'thing.happen',
    resource: { type: 'thing', id: `thing-${place.seq}`, name: null, ...draft.resource },
    context: draft.context ?? {},
    session_id: null,
    request_id: `req_${place.seq}`,
    ts: draft.ts ?? new Date(Date.UTC(2026, 0, 1) + place.seq * 60_000).toISOString(),
  };
  const { seq, prev } = place;
  const bytes = entryBytes({ v: 1, seq, prev, outcome: draft.outcome ?? 'success', action_version: 1, event });
  return { event, seq: place.seq, text: bytes.toString('utf8'), leaf: entryLeaf(bytes) };
}

/** Every eighth level is stored: 256 = 2^8. */
function tileOf({ level, index }: NodeAddress, node: Buffer): TileRow[] {
  return level % 8 === 0 ? [{ level: level / 8, index, node }] : [];
}

async function insertAll(
  client: pg.Client,
  { uuid, epoch }: LogName,
  { added, tiles, frontier }: { added: readonly WrittenEntry[]; tiles: readonly TileRow[]; frontier: Frontier },
): Promise<void> {
  await client.query('begin');
  await insertEntries(client, { uuid, epoch }, added);
  await insertTiles(client, { uuid, epoch }, tiles);
  await client.query(
    `insert into log_heads (tenant_id, epoch, size, last_leaf, frontier) values ($1, $2, $3, $4, $5)
     on conflict (tenant_id) do update set epoch = $2, size = $3, last_leaf = $4, frontier = $5,
       sealed_size = case when log_heads.epoch = $2 then log_heads.sealed_size else 0 end`,
    [uuid, epoch, frontier.size, added.at(-1)?.leaf, JSON.stringify(frontier.toJSON().nodes)],
  );
  await client.query('commit');
}

interface SegmentRow {
  readonly number: number;
  readonly first: number;
  readonly count: number;
  readonly body: Buffer;
  readonly frontier: Frontier;
  readonly note: string;
}

async function insertSegment(client: pg.Client, { uuid, epoch }: LogName, row: SegmentRow): Promise<void> {
  await client.query(
    `insert into segments (tenant_id, epoch, number, state, first_seq, count, size_bytes, sha256, frontier, segment_key,
       manifest_key, manifest, checkpoint, planned_at, retain_until, sealed_at)
     values ($1, $2, $3, 'sealed', $4, $5, $6, $7, $8, $9, $10, '{}', $11, now(), now() + interval '90 days', now())`,
    [
      uuid,
      epoch,
      row.number,
      row.first,
      row.count,
      row.body.length,
      hash('sha256', row.body, 'buffer'),
      JSON.stringify(row.frontier.toJSON().nodes),
      `seg/${row.number}`,
      `man/${row.number}`,
      row.note,
    ],
  );
  await client.query('update log_heads set sealed_size = $2, next_segment = $3 where tenant_id = $1', [
    uuid,
    row.first + row.count,
    row.number + 1,
  ]);
}

async function insertEntries(
  client: pg.Client,
  { uuid, epoch }: LogName,
  entries: readonly WrittenEntry[],
): Promise<void> {
  const columns = (pick: (entry: WrittenEntry) => unknown) => entries.map(pick);
  const outcomeOf = ({ text }: WrittenEntry) => (JSON.parse(text) as { outcome: string }).outcome;
  await client.query(
    `insert into log_entries (tenant_id, epoch, seq, event_id, leaf, entry, ts, action, outcome, actor_type, actor_id, resource_type, resource_id)
     select $1, $2, * from unnest($3::bigint[], $4::uuid[], $5::bytea[], $6::text[], $7::timestamptz[], $8::text[], $9::text[],
       $10::text[], $11::text[], $12::text[], $13::text[])`,
    [
      uuid,
      epoch,
      columns(({ seq }) => seq),
      columns(({ event }) => uuidOf('aud', event.id)),
      columns(({ leaf }) => leaf),
      columns(({ text }) => text),
      columns(({ event }) => event.ts),
      columns(({ event }) => event.action),
      columns(outcomeOf),
      columns(({ event }) => event.actor.type),
      columns(({ event }) => event.actor.id),
      columns(({ event }) => event.resource.type),
      columns(({ event }) => event.resource.id),
    ],
  );
}

async function insertTiles(client: pg.Client, { uuid, epoch }: LogName, tiles: readonly TileRow[]): Promise<void> {
  for (const { level, index, node } of tiles) {
    await client.query('insert into log_tiles (tenant_id, epoch, level, index, hash) values ($1, $2, $3, $4, $5)', [
      uuid,
      epoch,
      level,
      index,
      node,
    ]);
  }
}
