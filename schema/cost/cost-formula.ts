import type { GraphQLObjectType } from 'graphql';
import { fail } from '#schema/errors.ts';
import { combine, maxOf, once, saturate, spend, sumOf, valueOf } from './cost-term.ts';
import type { Evaluation, Term } from './cost-term.ts';
import { itemWeight, planFields, possibleTypes } from './cost-selection.ts';
import type { CostRun, PlannedField, SelectionGroup } from './cost-selection.ts';
import { UNKNOWN_SIZE } from './cost-arguments.ts';

/** The cost of what an operation selects of one object type, as far as it is known before the variables are. */
export interface SelectionFormula {
  readonly total: Term;
  readonly fields: readonly FieldFormula[];
}

/** One field of a selection; children, list size and arguments are in its cost. */
interface FieldFormula {
  readonly responseKey: string;
  readonly cost: Term;
  readonly instances: Term;
  readonly inner: readonly MemberFormula[];
}

/** What one value of a possible type costs: its weight and what is selected of it. */
interface MemberFormula {
  readonly each: Term;
  readonly selection: SelectionFormula;
}

/** What one place of the response costs, children and enclosing lists included. */
export interface FieldCost {
  /** Response keys joined by dots, such as `users.edges.node`. */
  readonly path: string;
  /** Whole points. */
  readonly cost: number;
}

/** Entries of a breakdown; one selection can stand at millions of places, so the list is cut. */
export const BY_FIELD_MAX = 200;

const LEVEL_MAX = 200;

/** Returns the formula of a whole operation. */
export function formulaOf(
  run: CostRun,
  root: { group: SelectionGroup; type: GraphQLObjectType },
  defaultListSize: number,
): SelectionFormula {
  const compiler = { run, defaultListSize, memo: new Map(), sizings: new Map() };
  return selectionFormula(compiler, root.group, { type: root.type, sizing: NO_SIZING, level: 1 });
}

/** Returns what each place costs, from the root down; of an abstract type the member that costs most. */
export function listByField(root: SelectionFormula, evaluation: Evaluation): FieldCost[] {
  const listed: FieldCost[] = [];
  const pending = [{ selection: root, prefix: '', times: 1 }];
  for (const { selection, prefix, times } of pending) {
    for (const field of selection.fields) {
      if (listed.length === BY_FIELD_MAX) return listed;
      const path = prefix + field.responseKey;
      listed.push({ path, cost: wholePoints(times * valueOf(field.cost, evaluation)) });
      const inner = dearest(field.inner, evaluation);
      if (inner === null) continue;
      const innerTimes = saturate(times * valueOf(field.instances, evaluation));
      pending.push({ selection: inner, prefix: `${path}.`, times: innerTimes });
    }
  }
  return listed;
}

/** Returns a cost in whole points, never below 0. */
export function wholePoints(cost: number): number {
  return saturate(Math.ceil(Math.max(0, cost)));
}

/** Refuses a selection that nests deeper than any sound one, before it exhausts the stack. */
export function checkLevel(level: number): void {
  if (level > LEVEL_MAX) fail('MAX_DEPTH_LIMIT', `operation nested deeper than ${LEVEL_MAX} fields`);
}

interface Compiler {
  readonly run: CostRun;
  readonly defaultListSize: number;
  readonly memo: Map<string, SelectionFormula>;
  /** A size that depends on variables has no value yet: a number of its own names it. */
  readonly sizings: Map<Term, number>;
}

/** List sizes that a field hands down to fields of the type it returns. */
interface Sizing {
  readonly key: string;
  readonly fields: ReadonlySet<string>;
  readonly size: Term;
}

interface Place {
  readonly type: GraphQLObjectType;
  readonly sizing: Sizing;
  readonly level: number;
}

const NO_SIZING: Sizing = { key: '', fields: new Set(), size: UNKNOWN_SIZE };

function selectionFormula(compiler: Compiler, group: SelectionGroup, place: Place): SelectionFormula {
  checkLevel(place.level);
  spend(compiler.run, 1);
  const key = `${group.id}|${place.type.name}|${place.sizing.key}`;
  const known = compiler.memo.get(key);
  if (known !== undefined) return known;
  const fields = planFields(compiler.run, group, place.type).map((field) => fieldFormula(compiler, field, place));
  const formula = { total: once(sumOf(fields.map((field) => field.cost))), fields };
  compiler.memo.set(key, formula);
  return formula;
}

function fieldFormula(compiler: Compiler, field: PlannedField, place: Place): FieldFormula {
  const instances = instancesOf(compiler, field, place.sizing);
  const inner = membersOf(compiler, field, place.level);
  const each = field.inner === null ? (field.weight ?? field.leafWeight) : maxOf(inner.map((member) => member.each));
  const beside = sumOf([field.argumentCost, requiredCost(compiler, field, place)]);
  const cost = combine([instances, each, beside], (size, one, more) => Math.max(0, saturate(size * one + more)));
  return { responseKey: field.responseKey, cost: once(cost), instances, inner };
}

function requiredCost(compiler: Compiler, field: PlannedField, { type, level }: Place): Term {
  if (field.requires === null) return 0;
  return selectionFormula(compiler, field.requires, { type, sizing: NO_SIZING, level: level + 1 }).total;
}

function instancesOf(compiler: Compiler, field: PlannedField, sizing: Sizing): Term {
  if (field.listDepth === 0) return 1;
  const { defaultListSize } = compiler;
  const outer = sizing.fields.has(field.name) ? sizing.size : UNKNOWN_SIZE;
  const further = saturate(defaultListSize ** (field.listDepth - 1));
  return combine([outer, field.size, further], (given, own, times) => {
    const size = given === UNKNOWN_SIZE ? own : given;
    return saturate((size === UNKNOWN_SIZE ? defaultListSize : size) * times);
  });
}

function membersOf(compiler: Compiler, field: PlannedField, level: number): MemberFormula[] {
  if (field.inner === null) return [];
  const { group, type } = field.inner;
  const sizing = handedDown(compiler, field);
  return possibleTypes(compiler.run, type).map((possible) => {
    const selection = selectionFormula(compiler, group, { type: possible, sizing, level: level + 1 });
    return { each: sumOf([itemWeight(compiler.run, field, possible), selection.total]), selection };
  });
}

function handedDown({ sizings }: Compiler, field: PlannedField): Sizing {
  const { size, sizedFields } = field;
  if (size === UNKNOWN_SIZE || sizedFields.size === 0) return NO_SIZING;
  if (!sizings.has(size)) sizings.set(size, sizings.size);
  return { key: `${sizings.get(size)}:${[...sizedFields].join(',')}`, fields: sizedFields, size };
}

function dearest(members: readonly MemberFormula[], evaluation: Evaluation): SelectionFormula | null {
  let found: { cost: number; selection: SelectionFormula } | null = null;
  for (const { each, selection } of members) {
    const cost = valueOf(each, evaluation);
    if (found === null || cost > found.cost) found = { cost, selection };
  }
  return found?.selection ?? null;
}
