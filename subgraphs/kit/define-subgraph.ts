import 'reflect-metadata';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { printSchemaWithDirectives } from '@graphql-tools/utils';
import { validateSync } from 'class-validator';
import DataLoader from 'dataloader';
import { parse, type DocumentNode, type GraphQLSchema } from 'graphql';
import { ArgumentValidationError, buildSchemaSync, createResolversMap, type NonEmptyArray } from 'type-graphql';
import { readFileSync } from 'node:fs';
import type { Command } from './command.ts';
import type { PersonalDataHandler } from './personal-data.ts';
import type { RequestContext } from './request-context.ts';
import type { Route } from './route.ts';

/** Finds the things of one type by their ids, in any order; what is missing is left out, as if it never was. */
export type Reference = (ctx: RequestContext, ids: readonly string[]) => Promise<readonly { readonly id: string }[]>;

/** What a subgraph is made of. */
export interface SubgraphDefinition {
  readonly name: string;
  readonly resolvers: NonEmptyArray<Function>;
  /** TypeORM classes; their tables lie in schema/sql/cell. */
  readonly entities: readonly Function[];
  /** Types that other subgraphs may refer to by id, and how to find them, many at a time. */
  readonly references: Readonly<Record<string, Reference>>;
  /** Types that no field returns but another subgraph extends or refers to. */
  readonly orphanedTypes?: readonly Function[];
  /** REST doors that GraphQL does not fit: SCIM, uploads, downloads. */
  readonly routes?: readonly Route[];
  /** What this subgraph holds of a person. Composition fails where @personalData occurs and this is missing. */
  readonly personalData?: PersonalDataHandler;
  /** Commands that `tenon` offers for this part. */
  readonly commands?: readonly Command[];
}

/** A subgraph ready to be composed and served. */
export interface Subgraph extends SubgraphDefinition {
  /** The subgraph's SDL, with its federation directives. */
  readonly sdl: string;
  readonly schema: GraphQLSchema;
}

const DIRECTIVES = readFileSync(new URL('../../schema/graphql/directives.graphql', import.meta.url), 'utf8');

/** Builds a subgraph from its definition; a class that type-graphql or federation refuses throws at once. */
export function defineSubgraph(definition: SubgraphDefinition): Subgraph {
  const classes = buildSchemaSync({
    resolvers: definition.resolvers,
    orphanedTypes: [...(definition.orphanedTypes ?? [])],
    skipCheck: true,
    validateFn: validateArgument,
  });
  const sdl = federatedSdl(classes);
  const typeDefs = parse(sdl);
  const resolvers = withReferences(createResolversMap(classes), definition.references);
  return { ...definition, sdl, schema: buildSubgraphSchema([{ typeDefs, resolvers } as SubgraphModule]) };
}

/** As type-graphql by default, which imports its validator anew for every argument: dearer than all the rest of it. */
function validateArgument(value: unknown): void {
  const objects = (Array.isArray(value) ? value : [value]).filter((item) => typeof item === 'object' && item !== null);
  const faults = objects.flatMap((item: object) =>
    validateSync(item, { skipMissingProperties: true, forbidUnknownValues: false }),
  );
  if (faults.length > 0) throw new ArgumentValidationError(faults);
}

/** The root types are named by convention, so the `schema` block goes; the shared directives come in by @link. */
function federatedSdl(classes: GraphQLSchema): string {
  const printed = printSchemaWithDirectives(classes).replace(/^schema\s*(@[^{]*)?\{[^}]*\}\s*/m, '');
  return `${DIRECTIVES.trim()}\n\n${printed.trim()}\n`;
}

type ResolversMap = ReturnType<typeof createResolversMap>;
/** type-graphql and Apollo describe the same resolver map with types that do not meet. */
type SubgraphModule = Exclude<
  Extract<Parameters<typeof buildSubgraphSchema>[0], readonly unknown[]>[number],
  DocumentNode
>;

function withReferences(resolvers: ResolversMap, references: SubgraphDefinition['references']): ResolversMap {
  for (const [type, find] of Object.entries(references)) {
    resolvers[type] = {
      ...(resolvers[type] as object),
      __resolveReference: (key: { id: string }, ctx: RequestContext) => loaderOf(ctx, type, find).load(key.id),
    } as ResolversMap[string];
  }
  return resolvers;
}

/** Returns this request's loader of a type; asking for it by name gives every caller the same batch. */
export function loaderOf(ctx: RequestContext, type: string, find: Reference): DataLoader<string, object | null> {
  const known = ctx.loaders.get(type) as DataLoader<string, object | null> | undefined;
  if (known !== undefined) return known;
  const loader = new DataLoader<string, object | null>(async (ids) => {
    const found = new Map((await find(ctx, ids)).map((thing) => [thing.id, thing]));
    return ids.map((id) => found.get(id) ?? null);
  });
  ctx.loaders.set(type, loader);
  return loader;
}
