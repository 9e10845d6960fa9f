import { parse, visit, type DirectiveNode } from 'graphql';
import { isObject } from '#schema/json-object.ts';
import type { QueryPlan } from './plan.ts';

/**
 * Returns how many response keys of an operation no fetch of its plan asks for under any path; what stands under a
 * condition may be left out. More than none may be right, as for a type that cannot occur where it was asked for; of
 * two plans the one with fewer answers more.
 */
export function missingKeys(operationText: string, plan: QueryPlan): number {
  const fetched = new Set<string>();
  const add = (key: string) => fetched.add(key);
  for (const text of operationsIn(plan.node)) eachKey(text, add, () => false);
  const wanted = new Set<string>();
  eachKey(operationText, (key) => wanted.add(key), isConditional);
  return [...wanted].filter((key) => !fetched.has(key)).length;
}

interface Selected {
  readonly directives?: readonly DirectiveNode[];
}

function eachKey(text: string, found: (key: string) => void, isLeftOut: (node: Selected) => boolean): void {
  visit(parse(text, { noLocation: true }), {
    Field: (node) => {
      if (isLeftOut(node)) return false;
      if (node.name.value !== '__typename') found(node.alias?.value ?? node.name.value);
      return undefined;
    },
    InlineFragment: (node) => (isLeftOut(node) ? false : undefined),
  });
}

function isConditional({ directives = [] }: Selected): boolean {
  return directives.some(({ name }) => name.value === 'skip' || name.value === 'include');
}

function operationsIn(node: unknown): string[] {
  if (Array.isArray(node)) return node.flatMap(operationsIn);
  if (!isObject(node)) return [];
  if (typeof node['operation'] === 'string') return [node['operation']];
  return ['node', 'nodes', 'ifClause', 'elseClause'].flatMap((name) => operationsIn(node[name]));
}
