import type { TenantTransaction } from '#kit/database.ts';
import { parseFilter } from './filter.ts';
import { compileFilter, type FilterColumns } from './filter-sql.ts';
import type { ListQuery } from './request.ts';
import type { ResourceType } from './schema.ts';

/** Where the resources of a type are rows. The SQL in it is the programmer's own. */
export interface ResourceSource {
  readonly type: ResourceType;
  /** What stands between SELECT and FROM. */
  readonly select: string;
  /** Table and alias, such as `users u`. */
  readonly from: string;
  /** The column that orders the list: it never changes, so pages stay in place while rows come and go. */
  readonly key: string;
  readonly columns: FilterColumns;
}

/** A page of rows, and how many there are in all. */
export interface RowPage<Row> {
  readonly rows: readonly Row[];
  readonly totalResults: number;
}

/** Reads a page of the rows that fulfil the filter, ordered by key; INVALID_FILTER as `parseFilter` and `compileFilter`. */
export async function readPage<Row extends object>(
  tx: Pick<TenantTransaction, 'query'>,
  source: ResourceSource,
  query: ListQuery,
): Promise<RowPage<Row>> {
  const where = conditionOf(source, query);
  const [counted] = await tx.query<{ total: number }>(
    `select count(*)::int as total from ${source.from} ${where.text}`,
    where.values,
  );
  const totalResults = counted?.total ?? 0;
  if (query.count === 0 || query.startIndex > totalResults) return { rows: [], totalResults };
  const { length } = where.values;
  const rows = await tx.query<Row>(
    `select ${source.select} from ${source.from} ${where.text} order by ${source.key} limit $${length + 1} offset $${length + 2}`,
    [...where.values, query.count, query.startIndex - 1],
  );
  return { rows, totalResults };
}

function conditionOf(
  { type, columns }: ResourceSource,
  { filter }: ListQuery,
): { text: string; values: readonly unknown[] } {
  if (filter === undefined) return { text: '', values: [] };
  const { text, values } = compileFilter(parseFilter(filter, type), columns);
  return { text: `where ${text}`, values };
}
