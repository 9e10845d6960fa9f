import { readFileSync } from 'node:fs';
import { ensureOperatorTenant } from '#subgraphs';
import { post } from './graphql-http.ts';
import type { House } from './house.ts';

/** Runs one of the operations that the platform's operators have, by its name. */
export type Operate = (name: string, input: object) => Promise<void>;

/** Lets the operators of the platform into a house; call it once a house. */
export async function openOperator(house: House): Promise<Operate> {
  const manifest = readFileSync(new URL('../../schema/operations/operator.json', import.meta.url), 'utf8');
  const { operations } = JSON.parse(manifest) as { operations: readonly { id: string; name: string }[] };
  const { apiKey } = await ensureOperatorTenant(house.platform);
  return async (name, input) => {
    const documentId = operations.find((operation) => operation.name === name)?.id;
    const { body } = await post(house, apiKey ?? '', { body: { documentId, variables: { input } } });
    if (body.errors !== undefined) throw new Error(`refused: ${JSON.stringify(body.errors)}`);
  };
}
