import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { parseFilter } from './filter.ts';
import { receivedFilter } from './normaliser.ts';
import { countRows, readKeys, type ResourceSource, type RowKey, type RowQuery } from './page.ts';
import { openCursor, sealCursor } from './page-cursor.ts';
import type { ListQuery } from './request.ts';
import { listResponse, type ResourceView } from './resource.ts';
import { anyType, resourceTypesOf, type ResourceTypes } from './resource-types.ts';
import type { ScimObject } from './schema.ts';
import { sortTargetOf } from './sort.ts';

/** A kind of resource that can be listed. */
export interface ListedKind {
  readonly name: keyof ResourceTypes;
  readonly source: ResourceSource;
  /** Returns the resources of the rows that are still there, by UUID. */
  readonly render: (tx: Query, ids: readonly string[], show: Showing) => Promise<Map<string, ScimObject>>;
}

/** How resources are shown: as the client wants them, with the attributes that the tenant knows. */
export interface Showing {
  readonly view: ResourceView;
  readonly types: ResourceTypes;
}

/** What is asked for, and how it is to be shown. */
export interface ListRequest {
  readonly query: ListQuery;
  readonly view: ResourceView;
}

type Query = Pick<TenantTransaction, 'query'>;

/**
 * Returns a page of the tenant's resources of these kinds as a list response, inactive users too. Without a sort order
 * it is that in which they were made. A walk by cursors meets everybody who is there from its first page to its last,
 * whoever else comes or goes meanwhile.
 */
export async function listResources(
  ctx: RequestContext,
  kinds: readonly ListedKind[],
  { query, view }: ListRequest,
): Promise<ScimObject> {
  return inTenant(ctx, async (tx) => {
    const types = await resourceTypesOf(tx);
    const rows = rowQueryOf(ctx, kinds, { query, types });
    // Two statements that do not wait for each other share a round trip.
    const [totalResults, { keys, ...place }] = await Promise.all([
      countRows(tx, rows),
      readPage(tx, ctx, { kinds, query, rows }),
    ]);
    const resources = await renderKeys(tx, keys, { kinds, show: { view, types } });
    return listResponse({ resources, totalResults, ...place });
  });
}

function rowQueryOf(
  ctx: RequestContext,
  kinds: readonly ListedKind[],
  { query: { filter, sort }, types }: { readonly query: ListQuery; readonly types: ResourceTypes },
): RowQuery {
  const [first] = kinds;
  const type = kinds.length === 1 && first !== undefined ? types[first.name] : anyType(types);
  return {
    sources: kinds.map(({ source }) => (kinds.length === 1 ? source : withForeignRows(source))),
    filter: filter === undefined ? undefined : parseFilter(receivedFilter(ctx, filter, type), type),
    sort: sort && { target: sortTargetOf(sort, type), descending: sort.order === 'descending' },
  };
}

/** Rows of another kind than this one's: a query over all kinds may name them, and here there are none. */
function withForeignRows(source: ResourceSource): ResourceSource {
  const none = {
    kind: 'rows',
    from: '(select 1) as nothing',
    where: 'false',
    columns: {
      value: { kind: 'id', expression: 'null::uuid', prefix: 'usr' },
      display: { kind: 'text', expression: 'null::text' },
    },
  } as const;
  return {
    ...source,
    columns: { ...source.columns, columns: { groups: none, members: none, ...source.columns.columns } },
  };
}

interface PageOfKeys {
  readonly keys: readonly RowKey[];
  readonly startIndex?: number;
  readonly nextCursor?: string | undefined;
  readonly previousCursor?: string | undefined;
}

interface PageQuery {
  readonly kinds: readonly ListedKind[];
  readonly query: ListQuery;
  readonly rows: RowQuery;
}

async function readPage(tx: Query, ctx: RequestContext, page: PageQuery): Promise<PageOfKeys> {
  const { from, count } = page.query;
  if ('cursor' in from) return readPageAt(tx, ctx, { ...page, cursor: from.cursor });
  const range = { offset: from.startIndex - 1, limit: count };
  return { keys: count === 0 ? [] : await readKeys(tx, page.rows, range), startIndex: from.startIndex };
}

async function readPageAt(
  tx: Query,
  ctx: RequestContext,
  { kinds, query, rows, cursor }: PageQuery & { readonly cursor: string },
): Promise<PageOfKeys> {
  const { count } = query;
  const bound = [kinds.map(({ name }) => name), query.filter ?? null, query.sort ?? null];
  const anchor = cursor === '' ? undefined : openCursor(ctx, bound, cursor);
  if (count === 0) return { keys: [] };
  // One more than the page holds shows whether another one follows.
  const found = await readKeys(tx, rows, { anchor, limit: count + 1 });
  const isCut = found.length > count;
  const backwards = anchor?.backwards === true;
  const keys = backwards ? found.slice(-count) : found.slice(0, count);
  const cursorAt = (key: RowKey | undefined, way: { backwards: boolean }): string | undefined =>
    key && sealCursor(ctx, bound, { ...key, ...way });
  const hasNext = isCut || backwards;
  const hasPrevious = anchor !== undefined && (isCut || !backwards);
  return {
    keys,
    nextCursor: hasNext ? cursorAt(keys.at(-1), { backwards: false }) : undefined,
    previousCursor: hasPrevious ? cursorAt(keys[0], { backwards: true }) : undefined,
  };
}

async function renderKeys(
  tx: Query,
  keys: readonly RowKey[],
  { kinds, show }: { kinds: readonly ListedKind[]; show: Showing },
): Promise<ScimObject[]> {
  const rendered = new Map<string, ScimObject>();
  for (const [rank, kind] of kinds.entries()) {
    const ids = keys.filter((key) => key.rank === rank).map(({ id }) => id);
    if (ids.length === 0) continue;
    for (const [id, resource] of await kind.render(tx, ids, show)) rendered.set(id, resource);
  }
  return keys.map(({ id }) => rendered.get(id)).filter((resource) => resource !== undefined);
}
