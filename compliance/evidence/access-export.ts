import { inTenant, inTenantAudit } from '#kit/database.ts';
import type { DataSubject, PersonalDataHandler, PersonalDataSet } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { entriesHolding } from '#kit/held-entries.ts';
import { fail } from '#schema/errors.ts';
import { uuidOrNull } from '#schema/ids.ts';
import { fieldWord } from '#schema/search-words.ts';
import { dataClasses, type DataClass } from './data-classes.ts';
import type { PackFiles } from './pack-files.ts';
import { schemaOfRows } from './row-schema.ts';
import { cellText, csvLines, type Row } from './table.ts';

/** Who hands out what a subgraph holds of a person. */
export interface PersonalDataSource {
  readonly subgraph: string;
  readonly handler: Pick<PersonalDataHandler, 'collect'>;
}

/** What an access export needs. */
export interface AccessExportOptions {
  readonly ctx: RequestContext;
  readonly subject: DataSubject;
  readonly sources: readonly PersonalDataSource[];
  readonly supergraphSdl: string;
  readonly files: PackFiles;
  /** Told of every source that failed; the others are exported. */
  readonly onFailure: (source: PersonalDataSource, error: unknown) => void;
}

/** One store as it was exported. */
export interface ExportedStore {
  readonly store: string;
  readonly subgraph: string;
  readonly rows: readonly Row[];
  readonly columns: readonly string[];
  /** The classes of its fields, by the field's name; fields that are in no class stand for themselves. */
  readonly classes: Readonly<Record<string, Pick<DataClass, 'category' | 'purpose' | 'retention'>>>;
}

const STORE = /^[A-Za-z][A-Za-z0-9]{0,62}\.[A-Za-z][A-Za-z0-9]{0,62}$/;

/**
 * Returns the person of an id: one in the table of people, or one whom the log still knows. Anybody else, also a person
 * of another tenant, is NOT_FOUND.
 */
export async function findSubject(ctx: RequestContext, userId: string): Promise<DataSubject> {
  const uuid = uuidOrNull('usr', userId) ?? unknown();
  const [user] = await inTenant(ctx, (tx) =>
    tx.query<{ email: string | null }>('select email from users where id = $1', [uuid]),
  );
  if (user !== undefined) return { userId, email: user.email };
  return (await isNamed(ctx, userId)) ? { userId, email: null } : unknown();
}

async function isNamed(ctx: RequestContext, userId: string): Promise<boolean> {
  const groups = [[[fieldWord('actor', userId)], [fieldWord('resource', userId)]]];
  return inTenantAudit(ctx, async (tx) => {
    const where = 'actor_id = $1 or resource_id = $1';
    for await (const rows of entriesHolding(tx, { words: { groups }, select: 'seq', where, values: [userId] })) {
      if (rows.length > 0) return true;
    }
    return false;
  });
}

function unknown(): never {
  return fail('NOT_FOUND', 'no such person in this tenant', { hint: 'The subject is no user of this tenant.' });
}

/**
 * Writes what every subgraph holds of a person, as `data/<store>.json` with the classes of its fields and as
 * `data/<store>.csv`, with a JSON Schema each, and returns it for the report, by the names of the stores.
 */
export async function exportPersonalData(options: AccessExportOptions): Promise<ExportedStore[]> {
  const { ctx, subject, sources, supergraphSdl, files, onFailure } = options;
  const classes = dataClasses(supergraphSdl);
  const stores: ExportedStore[] = [];
  for (const source of sources) {
    try {
      const sets = await source.handler.collect(ctx, subject);
      stores.push(...sets.map((set) => exported(set, { source, classes })));
    } catch (error) {
      onFailure(source, error);
    }
  }
  const sorted = stores.toSorted((left, right) => (left.store < right.store ? -1 : 1));
  for (const store of sorted) await writeStore(files, store);
  return sorted;
}

function exported(
  { store, rows }: PersonalDataSet,
  { source: { subgraph }, classes }: { source: PersonalDataSource; classes: readonly DataClass[] },
): ExportedStore {
  if (!STORE.test(store)) fail('INTERNAL_SERVER_ERROR', `the subgraph ${subgraph} names a store ${store}`);
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const named = new Set([...columns, ...rows.flatMap(innerNames)]);
  const own = classes.filter((known) => known.subgraph === subgraph && named.has(known.field));
  return {
    store,
    subgraph,
    rows,
    columns,
    classes: Object.fromEntries(
      own.map(({ field, category, purpose, retention }) => [field, { category, purpose, retention }]),
    ),
  };
}

/** Names one level down, such as the address inside an actor. */
function innerNames(row: Row): string[] {
  return Object.values(row).flatMap((value) =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : [],
  );
}

async function writeStore(files: PackFiles, { store, rows, columns, classes }: ExportedStore): Promise<void> {
  await files.put(`data/${store}.json`, `${JSON.stringify({ v: 1, store, fields: classes, rows }, null, 2)}\n`);
  await files.put(`schema/${store}.json`, `${JSON.stringify(schemaOfRows(store, columns, rows), null, 2)}\n`);
  const csv = files.begin(`data/${store}.csv`);
  await csv.write(csvLines([['row', ...columns]]));
  for (const [index, row] of rows.entries()) {
    await csv.write(
      csvLines([[index + 1, ...columns.map((column) => cellText(Object.hasOwn(row, column) ? row[column] : null))]]),
    );
  }
  await csv.end(rows.length);
}
