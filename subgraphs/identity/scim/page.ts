import type { TenantTransaction } from '#kit/database.ts';
import type { Filter } from './filter.ts';
import { compileFilter, type FilterColumns } from './filter-sql.ts';
import type { Anchor } from './page-cursor.ts';
import type { AttributeReference } from './schema.ts';
import { sortExpressionOf, type SortExpression } from './sort.ts';

/** Where the resources of a type are rows. The SQL in it is the programmer's own. */
export interface ResourceSource {
  /** What stands between SELECT and FROM. */
  readonly select: string;
  /** Table and alias, such as `users u`. */
  readonly from: string;
  /** The UUID of a row; lists are ordered by it where nothing else is asked for, so that they keep their order while rows come and go. */
  readonly key: string;
  readonly columns: FilterColumns;
}

/** Which rows are wanted, and in which order. */
export interface RowQuery {
  /** Rows of the first come before those of the second, unless they are sorted. */
  readonly sources: readonly ResourceSource[];
  readonly filter: Filter | undefined;
  readonly sort: { readonly target: AttributeReference; readonly descending: boolean } | undefined;
}

/** One row of a page, to be read by its id. */
export interface RowKey {
  readonly id: string;
  /** Place of its source. */
  readonly rank: number;
  /** Its value in the order, as text. */
  readonly sort: string | null;
}

/** The part of the rows that is wanted. */
export type RowRange =
  | { readonly offset: number; readonly limit: number }
  | { readonly anchor: Anchor | undefined; readonly limit: number };

type Query = Pick<TenantTransaction, 'query'>;

/** Returns how many rows there are; INVALID_FILTER as `compileFilter`. */
export async function countRows(tx: Query, query: RowQuery): Promise<number> {
  const { text, values } = unionOf({ ...query, sort: undefined });
  const [counted] = await tx.query<{ total: number }>(`select count(*)::int as total from (${text}) as found`, values);
  return counted?.total ?? 0;
}

/**
 * Returns the keys of the rows in the range, in order. Behind or before an anchor it finds them by comparing, never by
 * counting, so that no row is passed over because another one has gone.
 */
export async function readKeys(tx: Query, query: RowQuery, range: RowRange): Promise<RowKey[]> {
  const { text, values: given, sort } = unionOf(query);
  const values = [...given];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const backwards = 'anchor' in range && range.anchor?.backwards === true;
  const order: Order = {
    sort,
    descending: (query.sort?.descending ?? false) !== backwards,
    isRanked: query.sources.length > 1,
  };
  const behind = 'anchor' in range && range.anchor !== undefined ? `where ${behindOf(range.anchor, order, bind)}` : '';
  const offset = 'offset' in range ? `offset ${bind(range.offset)}` : '';
  const rows = await tx.query<RowKey>(
    `select id, rank, sort::text as sort from (${text}) as found ${behind} order by ${orderBy(order)} limit ${bind(range.limit)} ${offset}`,
    values,
  );
  return backwards ? rows.toReversed() : rows;
}

interface Order {
  readonly sort: SortExpression | undefined;
  readonly descending: boolean;
  readonly isRanked: boolean;
}

interface Union {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly sort: SortExpression | undefined;
}

function unionOf({ sources, filter, sort }: RowQuery): Union {
  const values: unknown[] = [];
  let expression: SortExpression | undefined;
  const parts = sources.map((source, rank) => {
    expression = sort && sortExpressionOf(sort.target, source.columns, values.length + 1);
    values.push(...(expression?.values ?? []));
    const where = filter && compileFilter(filter, source.columns, values.length + 1);
    values.push(...(where?.values ?? []));
    return `select ${rank} as rank, ${source.key} as id, ${expression?.text ?? 'null'} as sort from ${source.from} ${
      where === undefined ? '' : `where ${where.text}`
    }`;
  });
  return { text: parts.join(' union all '), values, sort: expression };
}

/**
 * RFC 7644 section 3.4.2.3: who has no value comes last, and first where the order descends. A bare `sort` would be the
 * text that is read, in which 10 comes before 9.
 */
function orderBy({ sort, descending, isRanked }: Order): string {
  const [way, nulls] = descending ? ['desc', 'first'] : ['asc', 'last'];
  const bySort = sort === undefined ? [] : [`found.sort ${way} nulls ${nulls}`];
  return [...bySort, ...(isRanked ? [`rank ${way}`] : []), `id ${way}`].join(', ');
}

function behindOf(anchor: Anchor, { sort, descending, isRanked }: Order, bind: (value: unknown) => string): string {
  const sign = descending ? '<' : '>';
  const id = `${bind(anchor.id)}::uuid`;
  const tied = isRanked ? `(rank, id) ${sign} (${bind(anchor.rank)}::int, ${id})` : `id ${sign} ${id}`;
  if (sort === undefined) return tied;
  if (anchor.sort === null) return `((sort is null and ${tied})${descending ? ' or sort is not null' : ''})`;
  const value = `${bind(anchor.sort)}::${sort.type}`;
  return `(sort ${sign} ${value} or (sort = ${value} and ${tied})${descending ? '' : ' or sort is null'})`;
}
