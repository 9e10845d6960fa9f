import { outgoingFetch, type OutgoingRequest } from '#kit/outgoing-http.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import type { StreamTarget } from './receiver.ts';

/** An answer up to here is read; nobody has more to say to a batch. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** Whoever takes longer is asked again later; a batch is small. */
const TIMEOUT_MS = 15_000;

/** Sends a request to a receiver and returns its answer where `isTaken` accepts its status; any other refuses the batch. */
export async function postTo(
  { platform }: StreamTarget,
  url: URL,
  { isTaken, ...request }: OutgoingRequest & { readonly isTaken: (status: number) => boolean },
): Promise<Response> {
  const response = await outgoingFetch(platform, url, {
    method: 'POST',
    timeoutMs: TIMEOUT_MS,
    maxBytes: MAX_ANSWER_BYTES,
    ...request,
  }).catch((thrown: unknown) => unreachable(thrown));
  if (!isTaken(response.status)) notTaken(`It answered ${response.status}.`);
  return response;
}

/** Says that the receiver has not taken a batch. */
export function notTaken(hint: string): never {
  return fail('SERVICE_UNAVAILABLE', 'a receiver did not take a batch', { hint });
}

/** Says that there was no answer, in words that tell nothing of what lies behind our wall. */
export function unreachable(thrown: unknown): never {
  const { code } = asTenonError(thrown);
  return notTaken(
    code === 'BAD_USER_INPUT' ? 'Its address may not be reached from here.' : 'It gave no answer in time.',
  );
}
