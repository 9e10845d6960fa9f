import type { GraphQLFormattedError } from 'graphql';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import { isObject } from '#schema/json-object.ts';
import { newEntityPath, type EntityPath } from './entity-path.ts';
import { placed } from './fetch-errors.ts';
import { newMerger, type Merger } from './merge.ts';
import type { FetchedOperation, PathSegment, RequiresSelection, Rewrite } from './plan.ts';
import { newRepresentationMaker, type RepresentationMaker } from './representation.ts';
import { newRewriter, rewriteShape } from './rewrites.ts';
import type { AnswerErrors, AnswerPath, RunState, Tree } from './run-state.ts';
import { sharingOf, type Sharing } from './sharing.ts';
import {
  addFailure,
  newRequest,
  sendCall,
  type FailurePlace,
  type PendingCall,
  type Step,
  type StepSource,
} from './step.ts';
import { answerShape, newOperationText, type AnswerShape } from './subgraph-operation.ts';

/** One `_entities` field of a call. */
export interface EntityField {
  readonly alias: string;
  /** Name of the variable with the representations. */
  readonly variable: string;
  readonly paths: readonly (readonly PathSegment[])[];
  readonly requires: readonly RequiresSelection[];
  readonly inputRewrites: readonly Rewrite[];
  readonly outputRewrites: readonly Rewrite[];
}

/** A field, compiled. */
interface CompiledField {
  readonly alias: string;
  readonly variable: string;
  readonly maker: RepresentationMaker;
  readonly merger: Merger;
  /** True where a field that is missing after a failure is missing because of it. */
  readonly strict: boolean;
  readonly paths: readonly { readonly walker: EntityPath; readonly sharing: Sharing }[];
  /** Renames what the planner aliased; nothing where it did not. */
  readonly rewrite: ((value: unknown) => void) | null;
  /** A key that the field answers with, to name a hole by. */
  readonly firstKey: string | undefined;
}

/** The entities of one path of a field in one run, and each one's place in the list of representations. */
interface Found {
  readonly field: CompiledField;
  readonly walker: EntityPath;
  readonly sharing: Sharing;
  readonly targets: Tree[];
  readonly indexes: number[];
}

/** Returns the step that asks a subgraph for fields of entities; equal representations are sent once for all places. */
export function newEntityFetch(fetch: FetchedOperation, fields: readonly EntityField[], source: StepSource): Step {
  const operation = newOperationText(fetch);
  const shape = answerShape(operation.document());
  const compiled = fields.map((field) => compileField(field, shape, { ...source, subgraph: fetch.serviceName }));
  const usages = fetch.variableUsages ?? [];
  const covers = compiled.flatMap(({ paths }) => paths.map(({ walker }) => walker.pattern));
  return (state) => {
    const representations = new Map<string, Tree[]>();
    const found: Found[] = [];
    for (const field of compiled) findEntities(field, state, { found, lists: representations });
    if (found.every(({ targets }) => targets.length === 0)) return undefined;
    const pending: PendingCall = {
      subgraph: fetch.serviceName,
      request: newRequest(operation, { usages, values: state.variables, representations }),
      place() {
        return failurePlace(state, found, covers);
      },
      arrived(result) {
        for (const error of result.errors ?? []) {
          if (!addAtEntities(state, found, error)) addFailure(state, pending, error);
        }
        mergeEntities(compiled, found, result);
        noteAbsent(state.errors, found, result);
      },
    };
    return sendCall(state, pending);
  };
}

function compileField(
  field: EntityField,
  shape: AnswerShape,
  source: StepSource & { readonly subgraph: string },
): CompiledField {
  const inner = shape.get(field.alias) ?? new Map<string, AnswerShape | null>();
  // The stock planner names the way from the root of the answer, the native one from the entity.
  const rewrites = field.outputRewrites.map(fromEntity);
  rewriteShape(inner, rewrites);
  return {
    alias: field.alias,
    variable: field.variable,
    maker: newRepresentationMaker({ ...field, subgraph: source.subgraph, types: source.types }),
    merger: newMerger(inner, source.types.isObjectType),
    strict: !source.conditional,
    paths: field.paths.map((path) => ({
      walker: newEntityPath(path, source.types.satisfies),
      sharing: sharingOf(path, field.paths, source.paths),
    })),
    rewrite: rewrites.length === 0 ? null : newRewriter(rewrites, source.types.satisfies),
    firstKey: [...inner.keys()].find((key) => key !== '__typename'),
  };
}

function fromEntity(rewrite: Rewrite): Rewrite {
  if ('KeyRenamer' in rewrite) return { KeyRenamer: shorten(rewrite.KeyRenamer) };
  return 'ValueSetter' in rewrite ? { ValueSetter: shorten(rewrite.ValueSetter) } : shorten(rewrite);
}

function shorten<Change extends { readonly path: readonly object[] }>(change: Change): Change {
  const [first] = change.path;
  const atRoot = first !== undefined && 'Key' in first && first.Key === '_entities';
  return atRoot ? { ...change, path: change.path.slice(1) } : change;
}

/** Entities that were found, and the lists of what represents them. */
interface Findings {
  readonly found: Found[];
  readonly lists: Map<string, Tree[]>;
}

function findEntities(field: CompiledField, state: RunState<unknown>, { found, lists }: Findings): void {
  let list = lists.get(field.variable);
  if (list === undefined) lists.set(field.variable, (list = []));
  const representations = field.maker.collection(list, state.variables, field.strict && state.errors.list.length > 0);
  for (const { walker, sharing } of field.paths) {
    const all: Tree[] = [];
    walker.collect(state.data, all);
    const targets: Tree[] = [];
    const indexes: number[] = [];
    for (const target of all) {
      const index = representations.add(target);
      if (index < 0) continue;
      targets.push(target);
      indexes.push(index);
    }
    found.push({ field, walker, sharing, targets, indexes });
  }
}

function mergeEntities(fields: readonly CompiledField[], found: readonly Found[], { data }: SubgraphResult): void {
  if (data === undefined || data === null) return;
  for (const { alias, rewrite } of fields) rewrite?.(data[alias]);
  for (const place of found) {
    const entities = data[place.field.alias];
    if (Array.isArray(entities)) mergeAt(place, entities);
  }
}

function mergeAt({ field: { merger }, sharing, targets, indexes }: Found, entities: readonly unknown[]): void {
  const whole = merger.flat || sharing === 'shared';
  const copies: (Tree | undefined)[] = [];
  for (let at = 0; at < targets.length; at += 1) {
    const index = indexes[at] ?? -1;
    const entity = entities[index];
    const target = targets[at];
    if (!isObject(entity) || target === undefined) continue;
    if (whole) merger.merge(target, entity);
    else if (sharing === 'own') merger.merge(target, merger.copy(entity));
    else merger.merge(target, (copies[index] ??= merger.copy(entity)));
  }
}

function noteAbsent(errors: AnswerErrors, found: readonly Found[], { data }: SubgraphResult): void {
  for (const { field, targets, indexes } of found) {
    const entities = data?.[field.alias];
    if (!Array.isArray(entities) || !entities.includes(null)) continue;
    for (const [at, target] of targets.entries()) if (entities[indexes[at] ?? -1] === null) errors.addAbsent(target);
  }
}

/** Adds an error wherever the entity stands that it speaks of; false where it speaks of none. */
function addAtEntities(state: RunState<unknown>, found: readonly Found[], error: GraphQLFormattedError): boolean {
  const [alias, index, ...tail] = error.path ?? [];
  let added = false;
  for (const { field, walker, targets, indexes } of found) {
    if (field.alias !== alias) continue;
    const wanted = new Set(targets.filter((_, at) => indexes[at] === index));
    walker.locate(state.data, (target, path) => {
      if (!wanted.has(target)) return;
      state.errors.add(placed(error, [...path, ...tail]));
      added = true;
    });
  }
  return added;
}

/** The first hole that a failed call leaves stands for all of them. */
function failurePlace(state: RunState<unknown>, found: readonly Found[], covers: readonly AnswerPath[]): FailurePlace {
  const first = found.find(({ targets }) => targets.length > 0);
  let place: AnswerPath | undefined;
  first?.walker.locate(state.data, (target, path) => {
    if (place === undefined && target === first.targets[0]) place = path;
  });
  if (place === undefined || first?.field.firstKey === undefined) return { path: place, covers };
  return { path: [...place, first.field.firstKey], covers };
}
