import type { GraphQLObjectType } from 'graphql';
import { checkLevel } from './cost-formula.ts';
import { itemWeight, planFields, possibleTypes } from './cost-selection.ts';
import type { CostRun, PlannedField, SelectionGroup } from './cost-selection.ts';
import { valueOf } from './cost-term.ts';
import type { Evaluation, Term } from './cost-term.ts';
import { isObject } from '#schema/json-object.ts';

/** The places of an answer that can cost anything, for one object type. */
export interface AnswerPlan {
  readonly fields: readonly AnswerField[];
  /** Every response key, by which a nameless object tells its type. */
  readonly keys: readonly string[];
}

interface AnswerField {
  readonly responseKey: string;
  readonly listDepth: number;
  readonly argumentCost: Term;
  /** What a value that is no object costs: a leaf its weight, a null only a weight of the field itself. */
  readonly leafWeight: number;
  readonly inner: AnswerInner | null;
}

interface AnswerInner {
  readonly only: AnswerMember | null;
  readonly members: ReadonlyMap<string, AnswerMember>;
  /** False where the client aliased another field to `__typename`. */
  readonly isNamed: boolean;
}

interface AnswerMember {
  readonly weight: number;
  readonly plan: AnswerPlan;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Returns the plan of the answers of a whole operation. */
export function answerPlanOf(run: CostRun, root: { group: SelectionGroup; type: GraphQLObjectType }): AnswerPlan {
  return planOf({ run, memo: new Map() }, root.group, { type: root.type, level: 1 });
}

/** Returns what an answer costs; only places that can cost anything are looked at. */
export function answerCost(plan: AnswerPlan, data: JsonObject, evaluation: Evaluation): number {
  let cost = 0;
  for (const field of plan.fields) {
    if (!Object.hasOwn(data, field.responseKey)) continue;
    const values = valuesCost(field, { value: data[field.responseKey], listDepth: field.listDepth }, evaluation);
    cost += Math.max(0, values + valueOf(field.argumentCost, evaluation));
  }
  return cost;
}

interface Compiler {
  readonly run: CostRun;
  readonly memo: Map<string, AnswerPlan>;
}

function planOf(compiler: Compiler, group: SelectionGroup, at: { type: GraphQLObjectType; level: number }): AnswerPlan {
  checkLevel(at.level);
  const key = `${group.id}|${at.type.name}`;
  const known = compiler.memo.get(key);
  if (known !== undefined) return known;
  const planned = planFields(compiler.run, group, at.type);
  const plan: AnswerPlan = {
    keys: planned.map((field) => field.responseKey),
    fields: planned.map((field) => answerField(compiler, field, at.level)).filter((field) => !isFree(field)),
  };
  compiler.memo.set(key, plan);
  return plan;
}

function answerField(compiler: Compiler, field: PlannedField, level: number): AnswerField {
  const { responseKey, listDepth, argumentCost, inner } = field;
  const place = { responseKey, listDepth, argumentCost };
  if (inner === null) return { ...place, leafWeight: field.weight ?? field.leafWeight, inner: null };
  const members = new Map<string, AnswerMember>();
  for (const type of possibleTypes(compiler.run, inner.type)) {
    const plan = planOf(compiler, inner.group, { type, level: level + 1 });
    members.set(type.name, { weight: itemWeight(compiler.run, field, type), plan });
  }
  const [only] = members.values();
  const isNamed = possibleTypes(compiler.run, inner.type).every((type) =>
    planFields(compiler.run, inner.group, type).every(
      (one) => one.responseKey !== '__typename' || one.name === '__typename',
    ),
  );
  return {
    ...place,
    leafWeight: field.weight ?? 0,
    inner: { only: members.size === 1 ? (only ?? null) : null, members, isNamed },
  };
}

function isFree(field: AnswerField): boolean {
  return field.inner === null && field.leafWeight === 0 && field.argumentCost === 0;
}

function valuesCost(field: AnswerField, at: { value: unknown; listDepth: number }, evaluation: Evaluation): number {
  const { value, listDepth } = at;
  if (listDepth === 0) return valueCost(field, value, evaluation);
  if (!Array.isArray(value)) return 0;
  let cost = 0;
  if (listDepth === 1) for (const element of value) cost += valueCost(field, element, evaluation);
  else for (const element of value) cost += valuesCost(field, { value: element, listDepth: listDepth - 1 }, evaluation);
  return cost;
}

function valueCost(field: AnswerField, value: unknown, evaluation: Evaluation): number {
  if (field.inner === null || !isObject(value)) return field.leafWeight;
  const member = field.inner.only ?? memberOf(field.inner, value);
  if (member === null) return field.leafWeight;
  const { weight, plan } = member;
  return plan.fields.length === 0 ? weight : weight + answerCost(plan, value, evaluation);
}

/**
 * Finds the type of an object: by its `__typename`, else as the type whose fields are the ones that the object has, and
 * of several such the heaviest.
 */
function memberOf(inner: AnswerInner, data: JsonObject): AnswerMember | null {
  const name = Object.hasOwn(data, '__typename') ? data['__typename'] : undefined;
  const named = typeof name === 'string' ? inner.members.get(name) : undefined;
  if (named !== undefined && inner.isNamed) return named;
  let best: { member: AnswerMember; fit: number } | null = null;
  for (const member of inner.members.values()) {
    const { keys } = member.plan;
    const fit = 2 * keys.filter((key) => Object.hasOwn(data, key)).length - keys.length;
    if (best === null || fit > best.fit || (fit === best.fit && member.weight > best.member.weight)) {
      best = { member, fit };
    }
  }
  return best?.member ?? null;
}
