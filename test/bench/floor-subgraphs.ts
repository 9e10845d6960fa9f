import { Arg, Args, Ctx, FieldResolver, ID, Query, Resolver, Root } from 'type-graphql';
import { In, type EntityManager, type ObjectLiteral, type SelectQueryBuilder } from 'typeorm';
import { ConnectionArgs, newestFirst, pageOf, pageRequest } from '#kit/connection.ts';
import { defineSubgraph, type Subgraph } from '#kit/define-subgraph.ts';
import { uuidOf } from '#schema/ids.ts';
import { User } from '../../subgraphs/identity/model.ts';
import {
  AuthorReference,
  Document,
  DocumentConnection,
  Project,
  ProjectConnection,
} from '../../subgraphs/product/model.ts';

/** What a request of the floor knows: a tenant that was believed, and the way to the rows. */
export interface FloorContext {
  /** UUID that every query filters by. */
  readonly tenant: string;
  readonly manager: EntityManager;
  readonly loaders: Map<string, unknown>;
}

/** The entities, over tables of the same columns in another schema. */
export const FLOOR_ENTITIES = [User, Project, Document];

/** Returns the subgraphs that the measured queries touch, with the same types and libraries. */
export function floorSubgraphs(): Subgraph[] {
  return [
    defineSubgraph({ name: 'product', resolvers: [FloorProjects, FloorDocuments], entities: [], references: {} }),
    defineSubgraph({
      name: 'identity',
      resolvers: [FloorUsers],
      entities: [],
      references: { User: (ctx, ids) => findUsers(ctx as unknown as FloorContext, ids) },
    }),
  ];
}

@Resolver(() => Project)
class FloorProjects {
  @Query(() => ProjectConnection)
  async projects(@Ctx() ctx: FloorContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    const request = pageRequest(args);
    return pageOf(
      await ofTenant(ctx, newestFirst(ctx.manager.createQueryBuilder(Project, 'row'), request, 'prj')).getMany(),
      request,
    );
  }

  @Query(() => Project, { nullable: true })
  async project(@Ctx() ctx: FloorContext, @Arg('id', () => ID) id: string) {
    return ofTenant(ctx, ctx.manager.createQueryBuilder(Project, 'row').where({ id })).getOne();
  }

  @FieldResolver(() => DocumentConnection)
  async documents(
    @Root() project: Project,
    @Ctx() ctx: FloorContext,
    @Args(() => ConnectionArgs) args: ConnectionArgs,
  ) {
    const request = pageRequest(args);
    const query = newestFirst(ctx.manager.createQueryBuilder(Document, 'row'), request, 'doc');
    return pageOf(
      await ofTenant(ctx, query)
        .andWhere('row.projectId = :project', { project: uuidOf('prj', project.id) })
        .getMany(),
      request,
    );
  }
}

@Resolver(() => Document)
class FloorDocuments {
  @FieldResolver(() => AuthorReference, { nullable: true })
  author(@Root() document: Document): AuthorReference | null {
    return document.authorId === null ? null : { id: document.authorId };
  }
}

/** The graph reaches users through documents alone; a subgraph needs a query of its own all the same. */
@Resolver(() => User)
class FloorUsers {
  @Query(() => User, { nullable: true })
  user(): null {
    return null;
  }
}

async function findUsers(ctx: FloorContext, ids: readonly string[]): Promise<User[]> {
  return ofTenant(ctx, ctx.manager.createQueryBuilder(User, 'row').where({ id: In([...ids]) })).getMany();
}

function ofTenant<Row extends ObjectLiteral>(
  ctx: FloorContext,
  query: SelectQueryBuilder<Row>,
): SelectQueryBuilder<Row> {
  return query.andWhere('row.tenant_id = :tenant', { tenant: ctx.tenant });
}
