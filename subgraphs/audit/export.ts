import { stringify } from 'csv-stringify';
import { pipeline, type Readable } from 'node:stream';
import { beginBulk, type BulkWork } from '#kit/bulk-lane.ts';
import { inTenantAudit } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { canonicalJson, type JsonValue } from '#schema/canonical-json.ts';
import { entryOf, readHead } from './entries.ts';
import { streamProven, type ProvenEntry } from './entry-stream.ts';
import type { AuditFilter } from './inputs.ts';
import { openEntries, type OpenedEntry } from './personal-values.ts';
import { proofFile } from './proof.ts';
import { entryQuery } from './search-terms.ts';
import { recordReading } from './service.ts';

/** What an export holds beside what was hashed. */
export interface ExportOptions {
  /** Personal values are readable too, as far as their keys exist. */
  readonly personal?: boolean;
}

const CSV_COLUMNS = [
  'epoch',
  'seq',
  'ts',
  'id',
  'action',
  'action_version',
  'outcome',
  'actor_type',
  'actor_id',
  'actor_ip',
  'actor_ua',
  'resource_type',
  'resource_id',
  'resource_name',
  'context',
  'session_id',
  'request_id',
  'leaf',
  'tlog_proof',
] as const;

/**
 * Returns the entries that fit the filter, oldest first, one RFC 8785 object a line (docs/formats.md, exports): `entry`
 * byte for byte as hashed, its leaf, and its proof against the checkpoint that stands before the first line of its epoch.
 * A line that no checkpoint covers yet has no proof. The export ends where the log ended when it began, however long it
 * takes. No transaction stays open while the caller reads; a fault on the way breaks the stream off. It is bulk work, with
 * the errors of `beginBulk`.
 */
export async function exportNdjson(
  ctx: RequestContext,
  filter: AuditFilter,
  { personal = false }: ExportOptions = {},
): Promise<Readable> {
  const { bulk, pages } = await beginExport(ctx, 'export_ndjson', filter);
  const lines = async function* (): AsyncGenerator<string> {
    const announced = new Set<number>();
    for await (const page of pages) {
      const opened = personal ? await openPage(bulk.ctx, page) : [];
      let text = '';
      for (const [index, { row, proof }] of page.entries()) {
        if (proof !== null && !announced.has(row.epoch)) {
          announced.add(row.epoch);
          text += `${canonicalJson({ checkpoint: proof.head.note, epoch: row.epoch })}\n`;
        }
        text += lineOf({ row, proof }, opened[index]);
      }
      // In one piece: each write costs more than the line in it.
      if (text !== '') yield text;
    }
  };
  return bulk.stream(lines(), { objectMode: false });
}

/**
 * Returns the same entries as CSV (RFC 4180, UTF-8, with a header, times in ISO 8601), each with its proof as a file of its
 * own (C2SP tlog-proof) in the last column, empty where no checkpoint covers the entry yet. A cell that a spreadsheet
 * would run as a formula begins with an apostrophe.
 */
export async function exportCsv(
  ctx: RequestContext,
  filter: AuditFilter,
  { personal = false }: ExportOptions = {},
): Promise<Readable> {
  const { bulk, pages } = await beginExport(ctx, 'export_csv', filter);
  const records = async function* (): AsyncGenerator<CsvRecord> {
    for await (const page of pages) {
      const opened = personal ? await openPage(bulk.ctx, page) : [];
      for (const [index, entry] of page.entries()) yield csvRecord(entry, opened[index]);
    }
  };
  const csv = stringify({
    header: true,
    columns: [...CSV_COLUMNS],
    escape_formulas: true,
    record_delimiter: 'windows',
    // By itself it quotes its own line breaks alone.
    quoted_match: /[\r\n]/,
  });
  // A fault of either side destroys the other, and whoever reads is told.
  return pipeline(bulk.stream(records(), { objectMode: true }), csv, () => undefined);
}

/** Begins an export from the end of the log as it is now, having recorded it. */
async function beginExport(
  ctx: RequestContext,
  door: 'export_ndjson' | 'export_csv',
  filter: AuditFilter,
): Promise<{ bulk: BulkWork; pages: AsyncIterable<readonly ProvenEntry[]> }> {
  const bulk = await beginBulk(ctx);
  try {
    await recordReading(ctx, door, filter);
    const head = await inTenantAudit(ctx, readHead);
    return { bulk, pages: bulk.paced(streamProven(bulk.ctx, head, entryQuery([filter]))) };
  } catch (error) {
    bulk.end();
    throw error;
  }
}

function openPage(ctx: RequestContext, page: readonly ProvenEntry[]): Promise<OpenedEntry[]> {
  return openEntries(
    ctx,
    page.map(({ row }) => row),
  );
}

/** The keys stand in the order of RFC 8785, and each part is in its form. */
function lineOf({ row, proof }: ProvenEntry, opened: OpenedEntry | undefined): string {
  const hashes = proof === null ? 'null' : JSON.stringify(proof.hashes.map((hash) => hash.toString('hex')));
  const readable = opened === undefined ? '' : `,"opened":${canonicalJson(toJson(opened))}`;
  return (
    `{"entry":${row.entry},"epoch":${row.epoch},"leaf":"${row.leaf.toString('hex')}"${readable},` +
    `"proof":${hashes},"tree_size":${proof?.head.size ?? null}}\n`
  );
}

/** What is readable of an event beyond its entry. */
function toJson({ event: { actor, resource, context, erased } }: OpenedEntry): JsonValue {
  return { actor: { ip: actor.ip, ua: actor.ua }, context, erased: [...erased], resource: { name: resource.name } };
}

type CsvRecord = Record<(typeof CSV_COLUMNS)[number], string | number | null>;

function csvRecord({ row, proof }: ProvenEntry, opened: OpenedEntry | undefined): CsvRecord {
  const { outcome, action_version: actionVersion, event } = entryOf(row);
  const { actor, resource, context } = opened?.event ?? event;
  return {
    epoch: row.epoch,
    seq: row.seq,
    ts: event.ts,
    id: event.id,
    action: event.action,
    action_version: actionVersion,
    outcome,
    actor_type: event.actor.type,
    actor_id: event.actor.id,
    actor_ip: cellOf(actor.ip),
    actor_ua: cellOf(actor.ua),
    resource_type: event.resource.type,
    resource_id: event.resource.id,
    resource_name: cellOf(resource.name),
    context: canonicalJson(context),
    session_id: event.session_id,
    request_id: event.request_id,
    leaf: row.leaf.toString('hex'),
    tlog_proof: proof === null ? null : proofFile(row, proof),
  };
}

/** A sealed value stays what was hashed. */
function cellOf(value: JsonValue): string | null {
  return value === null || typeof value === 'string' ? value : canonicalJson(value);
}
