import { stringify } from 'csv-stringify';
import { pipeline, Readable } from 'node:stream';
import { inTenantAudit } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { entryOf, filterTerms, readHead, type EntryRow } from './entries.ts';
import { streamEntries } from './entry-stream.ts';
import type { AuditFilter } from './inputs.ts';
import { recordReading } from './service.ts';

const CSV_COLUMNS = [
  'epoch',
  'seq',
  'ts',
  'id',
  'action',
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
] as const;

/**
 * Returns the entries that fit the filter, oldest first, as one JSON object a line: `entry` byte for byte as hashed, and
 * `leaf` in hex. The export ends where the log ended when it began, however long it takes. No transaction stays open
 * while the caller reads; a fault on the way breaks the stream off.
 */
export async function exportNdjson(ctx: RequestContext, filter: AuditFilter): Promise<Readable> {
  await recordReading(ctx, 'export_ndjson', filter);
  const head = await inTenantAudit(ctx, readHead);
  return Readable.from(
    mapped(
      streamEntries(ctx, head, filterTerms(filter)),
      (row) => `{"entry":${row.entry},"leaf":"${row.leaf.toString('hex')}"}\n`,
    ),
  );
}

/**
 * Returns the same entries as CSV (RFC 4180, UTF-8, with a header, times in ISO 8601); a cell that a spreadsheet would
 * run as a formula begins with an apostrophe.
 */
export async function exportCsv(ctx: RequestContext, filter: AuditFilter): Promise<Readable> {
  await recordReading(ctx, 'export_csv', filter);
  const head = await inTenantAudit(ctx, readHead);
  const rows = Readable.from(mapped(streamEntries(ctx, head, filterTerms(filter)), csvRecord));
  const csv = stringify({
    header: true,
    columns: [...CSV_COLUMNS],
    escape_formulas: true,
    record_delimiter: 'windows',
  });
  // A fault of either side destroys the other, and whoever reads is told.
  return pipeline(rows, csv, () => undefined);
}

async function* mapped<T>(rows: AsyncIterable<EntryRow>, map: (row: EntryRow) => T): AsyncGenerator<T> {
  for await (const row of rows) yield map(row);
}

function csvRecord(row: EntryRow): Record<(typeof CSV_COLUMNS)[number], string | number | null> {
  const { outcome, event } = entryOf(row);
  const { actor, resource } = event;
  return {
    epoch: row.epoch,
    seq: row.seq,
    ts: event.ts,
    id: event.id,
    action: event.action,
    outcome,
    actor_type: actor.type,
    actor_id: actor.id,
    actor_ip: actor.ip,
    actor_ua: actor.ua,
    resource_type: resource.type,
    resource_id: resource.id,
    resource_name: resource.name,
    context: JSON.stringify(event.context),
    session_id: event.session_id,
    request_id: event.request_id,
    leaf: row.leaf.toString('hex'),
  };
}
