import { outgoingFetch } from '#kit/outgoing-http.ts';
import { fail } from '#schema/errors.ts';
import { MAX_REQUEST_BYTES, parseAddCheckpoint, type AddCheckpoint } from './add-checkpoint.ts';

/** What a customer's witness asks her deployment for. */
export interface Deployment {
  /** The newest signed note of the tenant's log; null before the first seal. */
  checkpoint(): Promise<string | null>;
  /** The proof between two sizes, up to the newest without `to`; null where the deployment refuses to give one. */
  consistency(question: { from: number; to?: number; epoch: number }): Promise<AddCheckpoint | null>;
  /** The statements of rotations of the deployment's key. */
  rotations(): Promise<string[]>;
}

/** Where the deployment is, and a token with `audit:read`. */
export interface DeploymentAddress {
  readonly url: string;
  readonly token: string;
}

/** Whoever runs the witness has named the address herself. */
const OWN_CHOICE = { config: { profile: 'embedded', outgoingPrivate: 'allow-http' } } as const;
const TIMEOUT_MS = 30_000;
const MAX_STATEMENTS_BYTES = 4 * 1024 * 1024;
/** What is about this moment or this caller and says nothing about the log. */
const PASSING = new Set([408, 425, 429]);

/**
 * Returns the deployment at an address. One that is away, or whose answer is about the caller or the moment, is
 * SERVICE_UNAVAILABLE; a refused token is UNAUTHENTICATED.
 */
export function deploymentAt({ url, token }: DeploymentAddress): Deployment {
  const get = async (path: string, maxBytes = MAX_REQUEST_BYTES): Promise<{ status: number; text: string }> => {
    const headers = { authorization: `Bearer ${token}`, accept: 'text/plain, application/json;q=0.5' };
    const answer = await outgoingFetch(OWN_CHOICE, `${url.replace(/\/+$/, '')}${path}`, {
      headers,
      maxBytes,
      timeoutMs: TIMEOUT_MS,
    });
    if (answer.status === 401 || answer.status === 403)
      fail('UNAUTHENTICATED', `the deployment refuses the token (${answer.status}); it needs audit:read`);
    if (answer.status >= 500 || PASSING.has(answer.status))
      fail('SERVICE_UNAVAILABLE', `the deployment answers with status ${answer.status}`);
    return { status: answer.status, text: await answer.text() };
  };
  return {
    checkpoint: async () => {
      const { status, text } = await get('/v1/audit/checkpoint');
      if (status === 404) return null;
      return status === 200 ? text : fail('SERVICE_UNAVAILABLE', `the deployment answers with status ${status}`);
    },
    consistency: async ({ from, to, epoch }) => {
      const query = new URLSearchParams({ from: String(from), epoch: String(epoch) });
      if (to !== undefined) query.set('to', String(to));
      const { status, text } = await get(`/v1/audit/consistency?${query.toString()}`);
      return status === 200 ? parseAddCheckpoint(text) : null;
    },
    rotations: async () => {
      const { text } = await get('/.well-known/tenon/keys', MAX_STATEMENTS_BYTES);
      return statementsIn(text);
    },
  };
}

function statementsIn(text: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('SERVICE_UNAVAILABLE', 'the keys of the deployment are not JSON');
  }
  const list = typeof value === 'object' && value !== null && 'rotations' in value ? value.rotations : [];
  return Array.isArray(list) ? list.filter((each) => typeof each === 'string') : [];
}
