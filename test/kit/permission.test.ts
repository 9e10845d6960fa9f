import 'reflect-metadata';
import { ApolloGateway } from '@apollo/gateway';
import { parse, printSchema } from 'graphql';
import { Directive, Field, ID, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { describe, expect, it } from 'vitest';
import { compose } from '#kit/composition.ts';
import { defineSubgraph, type Subgraph } from '#kit/define-subgraph.ts';
import { executeSubgraph } from '#kit/subgraph-execution.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Scope } from '#schema/scopes.ts';
import type { TenantState } from '#schema/tenant-context.ts';
import { subgraphs } from '#subgraphs';

@ObjectType()
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "projects:read")')
class Thing {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  @Directive('@permission(scope: "audit:read")')
  secret!: string;
}

const ran: string[] = [];

@Resolver(() => Thing)
class ThingResolver {
  @Query(() => Thing)
  @Directive('@permission(scope: "users:read")')
  thing(): Thing {
    ran.push('thing');
    return { id: '1', secret: 'x' };
  }

  @Mutation(() => Boolean)
  @Directive('@audit(action: "project.create")')
  @Directive('@permission(scope: "projects:write")')
  changeThing(): boolean {
    ran.push('changeThing');
    return true;
  }
}

const things = defineSubgraph({
  name: 'things',
  resolvers: [ThingResolver],
  entities: [],
  references: { Thing: async (_ctx, ids) => ids.map((id) => ({ id, secret: 'x' })) },
});

async function answer(text: string, scopes: readonly Scope[], state: TenantState = 'active') {
  const ctx = { tenant: { scopes, state, requestId: 'r' }, loaders: new Map() } as unknown as RequestContext;
  ran.length = 0;
  const { data, errors } = await executeSubgraph(things, { document: parse(text) }, ctx);
  return { data: data as unknown, codes: (errors ?? []).map(({ extensions }) => extensions?.['code']), ran: [...ran] };
}

describe('a field that carries @permission', () => {
  it('is resolved for whoever holds the right, and not even begun for others', async () => {
    expect(await answer('{ thing { id } }', ['users:read'])).toEqual({
      data: { thing: { id: '1' } },
      codes: [],
      ran: ['thing'],
    });
    expect(await answer('{ thing { id } }', ['users:write', 'projects:read'])).toEqual({
      data: null,
      codes: ['FORBIDDEN'],
      ran: [],
    });
  });

  it('is guarded without a resolver of its own too', async () => {
    expect((await answer('{ thing { secret } }', ['users:read'])).codes).toEqual(['FORBIDDEN']);
    expect((await answer('{ thing { secret } }', ['users:read', 'audit:read'])).data).toEqual({
      thing: { secret: 'x' },
    });
  });

  it('changes nothing in a tenant that is read-only', async () => {
    expect(await answer('mutation { changeThing }', ['projects:write'], 'read_only')).toEqual({
      data: null,
      codes: ['TENANT_READ_ONLY'],
      ran: [],
    });
    expect((await answer('mutation { changeThing }', ['projects:write'])).ran).toEqual(['changeThing']);
  });

  it('is read in a tenant that is read-only, and not in one that is paused', async () => {
    expect((await answer('{ thing { id } }', ['users:read'], 'read_only')).codes).toEqual([]);
    expect(await answer('{ thing { id } }', ['users:read'], 'suspended')).toMatchObject({
      codes: ['TENANT_SUSPENDED'],
      ran: [],
    });
  });
});

it('a type that carries @permission is found by its id for whoever holds the right alone', async () => {
  const text = '{ _entities(representations: [{ __typename: "Thing", id: "7" }]) { ... on Thing { id } } }';
  expect(await answer(text, ['projects:read'])).toMatchObject({ data: { _entities: [{ id: '7' }] }, codes: [] });
  expect(await answer(text, ['users:read'])).toMatchObject({ data: { _entities: [null] }, codes: ['FORBIDDEN'] });
});

it('a right that is not in the table is refused when the subgraph is defined', () => {
  @Resolver()
  class Odd {
    @Query(() => Boolean)
    @Directive('@permission(scope: "everything")')
    odd(): boolean {
      return true;
    }
  }
  expect(() => defineSubgraph({ name: 'odd', resolvers: [Odd], entities: [], references: {} })).toThrow(
    'Query.odd names no scope of the table: everything',
  );
});

describe('a supergraph', () => {
  const sdlWithout = (directive: string): Subgraph => ({ ...things, sdl: things.sdl.replace(directive, '') });

  it('is not composed while an entrance asks for no right', () => {
    expect(compose([things])).toContain('@permission(scope: "users:read")');
    expect(() => compose([sdlWithout('@permission(scope: "users:read")')])).toThrow(
      'things: Query.thing has no @permission(scope)',
    );
    expect(() => compose([sdlWithout('@permission(scope: "projects:write")')])).toThrow(
      'things: Mutation.changeThing has no @permission(scope)',
    );
  });

  it('with the directive is served by the stock gateway, whose clients do not see it', async () => {
    const gateway = new ApolloGateway({
      supergraphSdl: compose(subgraphs),
      buildService: () => ({ process: async () => ({ data: {} }) }),
    });
    const { schema } = await gateway.load();
    await gateway.stop();
    expect(schema.getQueryType()?.getFields()['users']).toBeDefined();
    expect(printSchema(schema)).not.toContain('@permission');
  });
});
