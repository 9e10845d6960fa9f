import 'reflect-metadata';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { printSchemaWithDirectives } from '@graphql-tools/utils';
import { validateSync } from 'class-validator';
import DataLoader from 'dataloader';
import { parse, type DocumentNode, type GraphQLSchema } from 'graphql';
import { ArgumentValidationError, buildSchemaSync, createResolversMap, type NonEmptyArray } from 'type-graphql';
import { readFileSync } from 'node:fs';
import { authorize } from './authorize.ts';
import type { Command } from './command.ts';
import type { CellTurn, JobKind } from './jobs/job-kind.ts';
import { guardFields, permissionsOf, type Permissions } from './permission.ts';
import type { PersonalDataHandler } from './personal-data.ts';
import { maskPersonalFields } from './personal-mask.ts';
import type { Platform, RequestContext } from './request-context.ts';
import type { Route } from './route.ts';
import type { Scope } from '#schema/scopes.ts';

/** Finds the things of one type by their ids, in any order; what is missing is left out, as if it never was. */
export type Reference = (ctx: RequestContext, ids: readonly string[]) => Promise<readonly { readonly id: string }[]>;

/** Work that goes on beside requests. */
export interface BackgroundWork {
  /** Lets what is under way end and begins nothing more. */
  stop(): Promise<void>;
}

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
  /**
   * Starts what the subgraph does beside requests, in the process and the role of the worker; of several workers each starts
   * it, so that they have to share what there is to do.
   */
  readonly work?: (platform: Platform) => BackgroundWork;
  /** Durable jobs that its mutations ask for, run by the worker. */
  readonly jobs?: readonly JobKind[];
  /** What the worker does in each cell at set times. */
  readonly turns?: readonly CellTurn[];
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

/**
 * Builds a subgraph from its definition; a class that type-graphql or federation refuses throws at once. What carries
 * `@permission` is shown to whoever holds its right alone: a field when it is asked for, a type when another subgraph
 * leads to it by an id. What carries `@personalData` is masked for an operator whom the tenant let in without it.
 */
export function defineSubgraph(definition: SubgraphDefinition): Subgraph {
  const classes = buildSchemaSync({
    resolvers: definition.resolvers,
    orphanedTypes: [...(definition.orphanedTypes ?? [])],
    skipCheck: true,
    validateFn: validateArgument,
  });
  const sdl = federatedSdl(classes);
  const typeDefs = parse(sdl);
  const permissions = permissionsOf(typeDefs);
  const references = guardedReferences(definition.references, permissions);
  const resolvers = withReferences(createResolversMap(classes), references);
  const schema = buildSubgraphSchema([{ typeDefs, resolvers } as SubgraphModule]);
  guardFields(schema, permissions);
  maskPersonalFields(schema, typeDefs);
  return { ...definition, references, sdl, schema };
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

function guardedReferences(
  references: SubgraphDefinition['references'],
  { types }: Permissions,
): SubgraphDefinition['references'] {
  const guarded = Object.entries(references).map(([type, find]): [string, Reference] => {
    const scope = types.get(type);
    return scope === undefined ? [type, find] : [type, guardedReference(find, scope)];
  });
  return Object.fromEntries(guarded);
}

function guardedReference(find: Reference, scope: Scope): Reference {
  return async (ctx, ids) => {
    authorize(ctx, scope);
    return find(ctx, ids);
  };
}

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
