import type { RequestContext } from '#kit/request-context.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import { ask } from './tenants-platform.ts';

/** The document of each change to registered operations. */
export const OPERATION_MUTATIONS = {
  registerOperations:
    'mutation ($input: RegisterOperationsInput!) { registerOperations(input: $input) { registered manifestFingerprint operations { id documentId name kind state maxCost registeredBy approvedBy expiresAt manifestFingerprint } } }',
  approveOperations:
    'mutation ($input: ApproveOperationsInput!) { approveOperations(input: $input) { operations { id state approvedBy approvedAt } } }',
  revokeOperations:
    'mutation ($input: RevokeOperationsInput!) { revokeOperations(input: $input) { operations { id state revokedBy revokedAt } } }',
  scheduleRevocation:
    'mutation ($input: ScheduleRevocationInput!) { scheduleRevocation(input: $input) { operations { id state revokedAt } } }',
} as const;

/** A registered operation as a test reads it. */
export interface ShownOperation {
  readonly id: string;
  readonly documentId: string;
  readonly name: string | null;
  readonly state: string;
  readonly maxCost: number;
  readonly registeredBy: string;
  readonly approvedBy: string | null;
  readonly expiresAt: string | null;
}

/** What a registration answers. */
export interface Registered {
  readonly registered: number;
  readonly manifestFingerprint: string;
  readonly operations: readonly ShownOperation[];
}

/** Returns Apollo's manifest of some documents, with what a test adds to each entry. */
export function apolloManifest(bodies: readonly string[], more: object = {}): string {
  const operations = bodies.map((body) => {
    const [, type, name] = /^(query|mutation) (\w+)/.exec(body) ?? [];
    return { id: sha256Hex(body), name, type, body, ...more };
  });
  return JSON.stringify({ format: 'apollo-persisted-query-manifest', version: 1, operations });
}

/** Runs one of the changes and returns its payload; an error of it throws with the code before the message. */
export async function change<Payload>(
  ctx: RequestContext,
  mutation: keyof typeof OPERATION_MUTATIONS,
  input: object,
): Promise<Payload> {
  const { data, errors } = await ask(ctx, OPERATION_MUTATIONS[mutation], { input });
  const [error] = errors ?? [];
  if (error !== undefined) throw new Error(`${String(error.extensions?.['code'])}: ${error.message}`);
  return (data as Record<string, Payload>)[mutation] as Payload;
}
