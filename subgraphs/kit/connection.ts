import 'reflect-metadata';
import { ArgsType, Directive, Field, Int, ObjectType, type ClassType } from 'type-graphql';
import type { ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import { fail } from '#schema/errors.ts';
import { uuidOrNull, type IdPrefix } from '#schema/ids.ts';

/** The largest page a connection hands out; it bounds memory, cost and the time a statement may take. */
export const MAX_PAGE_SIZE = 100;

/** Arguments of a forward connection (Relay Cursor Connections). */
@ArgsType()
export class ConnectionArgs {
  @Field(() => Int, { defaultValue: 20 })
  first!: number;

  @Field(() => String, { nullable: true })
  after?: string | null;
}

/** Where a page stands in the whole (Relay `PageInfo`); every subgraph shares the type. */
@ObjectType('PageInfo', { simpleResolvers: true })
@Directive('@shareable')
export class PageInfo {
  @Field(() => Boolean)
  hasNextPage!: boolean;

  @Field(() => Boolean)
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true })
  startCursor!: string | null;

  @Field(() => String, { nullable: true })
  endCursor!: string | null;
}

/** One node and the cursor that continues behind it. */
export interface Edge<T> {
  readonly cursor: string;
  readonly node: T;
}

/** A page of nodes. */
export interface Connection<T> {
  readonly edges: readonly Edge<T>[];
  readonly pageInfo: PageInfo;
}

/** Returns the GraphQL type `<Name>Connection` with its edge type, for a class that is a GraphQL object type. */
export function connectionOf<T extends object>(name: string, node: ClassType<T>): ClassType<Connection<T>> {
  @ObjectType(`${name}Edge`, { simpleResolvers: true })
  class NodeEdge {
    @Field(() => String)
    cursor!: string;

    @Field(() => node)
    node!: T;
  }

  @ObjectType(`${name}Connection`, { simpleResolvers: true })
  class NodeConnection {
    @Field(() => [NodeEdge])
    edges!: NodeEdge[];

    @Field(() => PageInfo)
    pageInfo!: PageInfo;
  }
  return NodeConnection;
}

/** The page that the arguments ask for. */
export interface PageRequest {
  /** One more than the page holds, so that the next page shows itself. */
  readonly limit: number;
  /** The key to read behind: the id of a node, or its place in a log. */
  readonly after: string | null;
}

/** Returns the checked page request; sizes outside 0..100 and cursors that are not ours are BAD_USER_INPUT. */
export function pageRequest(args: ConnectionArgs): PageRequest {
  if (args.first < 0 || args.first > MAX_PAGE_SIZE) {
    fail('BAD_USER_INPUT', 'first out of range', { hint: `"first" takes 0 to ${MAX_PAGE_SIZE}.` });
  }
  return { limit: args.first + 1, after: args.after == null ? null : decodeCursor(args.after) };
}

/** Returns the UUID that a page by id reads behind, or null for the first page; a cursor of something else is BAD_USER_INPUT. */
export function uuidAfter({ after }: PageRequest, prefix: IdPrefix): string | null {
  return after === null ? null : (uuidOrNull(prefix, after) ?? refuseCursor());
}

/** Returns the query of a page by falling id: UUIDv7 ids sort by creation, and no two are the same. */
export function newestFirst<Row extends ObjectLiteral>(
  query: SelectQueryBuilder<Row>,
  request: PageRequest,
  prefix: IdPrefix,
): SelectQueryBuilder<Row> {
  const { alias } = query;
  const after = uuidAfter(request, prefix);
  if (after !== null) query.where(`${alias}.id < :after`, { after });
  return query.orderBy(`${alias}.id`, 'DESC').limit(request.limit);
}

/** Returns the page made of rows read with `pageRequest`; `keyOf` yields what the next page reads behind. */
export function pageOf<T extends { readonly id: string }>(rows: readonly T[], request: PageRequest): Connection<T>;
export function pageOf<T>(rows: readonly T[], request: PageRequest, keyOf: (row: T) => string): Connection<T>;
export function pageOf<T>(
  rows: readonly T[],
  request: PageRequest,
  keyOf = (row: T) => (row as { id: string }).id,
): Connection<T> {
  const nodes = rows.slice(0, request.limit - 1);
  const edges = nodes.map((node) => ({ node, cursor: Buffer.from(keyOf(node)).toString('base64url') }));
  return {
    edges,
    pageInfo: {
      hasNextPage: rows.length >= request.limit,
      hasPreviousPage: request.after !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

function decodeCursor(cursor: string): string {
  return cursor.length <= 256 && /^[\w-]+$/.test(cursor)
    ? Buffer.from(cursor, 'base64url').toString('utf8')
    : refuseCursor();
}

function refuseCursor(): never {
  return fail('BAD_USER_INPUT', 'cursor not ours', { hint: '"after" takes a cursor of an earlier page.' });
}
