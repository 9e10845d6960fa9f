import type { BudgetLimits, SubjectLimits } from '#schema/budget-limits.ts';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';

const RATE = '{ capacity restorePerSecond }';
const SUBJECT = `{ points { query ${RATE} mutation ${RATE} bulk ${RATE} } requests ${RATE} }`;
const VIEW = `{ maxQueryCost concurrency tenant ${SUBJECT} client ${SUBJECT} user ${SUBJECT} clients { client budget ${SUBJECT} } }`;

export const LIMITS = `{ tenant { budgetLimits ${VIEW} } }`;
export const SET_TENANT = mutation('setTenantLimits', 'SetTenantLimitsInput');
export const SET_TIER = mutation('setTierLimits', 'SetTierLimitsInput');
export const SET_CLIENT = mutation('setClientLimits', 'SetClientLimitsInput');
export const REMOVE_CLIENT = mutation('removeClientLimits', 'RemoveClientLimitsInput');

/** What an answer says of limits. */
export type LimitsView = BudgetLimits & { readonly clients: readonly { client: string; budget: SubjectLimits }[] };

/** Returns the limits in the answer of any of the operations. */
export function limitsIn({ data, errors }: SubgraphResult): LimitsView {
  if (errors !== undefined) throw new Error(`refused: ${JSON.stringify(errors)}`);
  const [answer] = Object.values(data ?? {}) as { budgetLimits: LimitsView }[];
  if (answer === undefined) throw new Error('there is no answer');
  return JSON.parse(JSON.stringify(answer.budgetLimits)) as LimitsView;
}

function mutation(name: string, input: string): string {
  return `mutation ($input: ${input}!) { ${name}(input: $input) { budgetLimits ${VIEW} } }`;
}
