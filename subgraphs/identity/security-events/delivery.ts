import { systemContext } from '#kit/credential.ts';
import { outgoingFetch } from '#kit/outgoing-http.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { signSecurityEvent } from '#kit/security-event-token.ts';
import { asTenonError } from '#schema/errors.ts';
import { mintId, type Id } from '#schema/ids.ts';
import { openSecret, type SecretPlace } from '#schema/sealed-secret.ts';
import type { StorePlace } from '#schema/tenant-store.ts';
import {
  markDelivered,
  markFailed,
  releaseDelivery,
  type DueDelivery,
  type FailedAttempt,
  type QueueScope,
} from './delivery-queue.ts';
import { eventTokenOf } from './event-claims.ts';
import { ReceiverKind } from './event-types.ts';

/** A token that was not taken for so long is given up; it can be replayed by hand. */
export const GIVE_UP_AFTER_MS = 24 * 3_600_000;
/** A receiver that answers and refuses one token is not asked about it any longer, so that what follows is not held up. */
const MOST_REFUSALS = 3;
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 3_600_000;
const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 64 * 1024;

/** Returns where the Authorization header of a receiver is sealed to. */
export function authorizationPlace(tenant: Id<'tnt'>, receiver: Id<'rcv'>): SecretPlace {
  return { tenant, purpose: 'security event receiver authorization', id: receiver };
}

/**
 * Sends a token to its receiver once and writes down what came of it; never throws. Whoever is killed between the two sends
 * it again when its lease has run out, with the same `jti`.
 */
export async function attemptDelivery(platform: Platform, place: StorePlace, delivery: DueDelivery): Promise<void> {
  const scope = (): QueueScope => ({ databases: platform.databases, ...place, now: platform.clock() });
  try {
    const request = await requestOf(platform, delivery);
    const answer = await send(platform, delivery, request);
    if (answer.kind === 'taken') await markDelivered(scope(), delivery, answer.status);
    else await markFailed(scope(), delivery, consequence(delivery, answer, platform.clock()));
  } catch {
    // Our own stores are away: neither the token nor its receiver has failed.
    const later = new Date(platform.clock().getTime() + FIRST_PAUSE_MS);
    await releaseDelivery(scope(), delivery, later).catch(() => undefined);
  }
}

type Answer =
  | { readonly kind: 'taken'; readonly status: number }
  | { readonly kind: 'refused'; readonly status: number; readonly error: string }
  | { readonly kind: 'failed'; readonly status: number | null; readonly error: string };

interface Push {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** RFC 8935 section 2.1, or Back-Channel Logout 1.0 section 2.5. */
async function requestOf(platform: Platform, delivery: DueDelivery): Promise<Push> {
  const { databases } = platform;
  const purpose = { name: 'security-events', requestId: mintId('req') };
  const ctx: RequestContext = requestContext(platform, await systemContext(databases, delivery.tenant, purpose));
  const { type, claims } = await eventTokenOf(ctx, delivery);
  const token = await signSecurityEvent(databases.keys, type, claims);
  const { receiver, tenant } = delivery;
  const { sealedAuthorization: sealed } = receiver;
  const authorization =
    sealed === null
      ? {}
      : { authorization: openSecret(databases.keys, authorizationPlace(tenant, receiver.id), sealed) };
  const headers = { accept: 'application/json', ...authorization };
  if (receiver.kind === ReceiverKind.BACKCHANNEL_LOGOUT)
    return {
      headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ logout_token: token }).toString(),
    };
  return { headers: { ...headers, 'content-type': 'application/secevent+jwt' }, body: token };
}

async function send(platform: Platform, { receiver }: DueDelivery, { headers, body }: Push): Promise<Answer> {
  try {
    const response = await outgoingFetch(platform, receiver.endpoint, {
      method: 'POST',
      headers,
      body,
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_ANSWER_BYTES,
    });
    const { status } = response;
    if (status >= 200 && status < 300) return { kind: 'taken', status };
    return { kind: status === 400 ? 'refused' : 'failed', status, error: await errorIn(response) };
  } catch (thrown) {
    const { code } = asTenonError(thrown);
    const error = code === 'BAD_USER_INPUT' ? 'the address may not be reached' : 'no answer in time';
    return { kind: 'failed', status: null, error };
  }
}

/** The code of RFC 8935 section 2.4; the description is the receiver's own words and stays out of our records. */
async function errorIn(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { err?: unknown; error?: unknown } | null;
    const code = body?.err ?? body?.error;
    if (typeof code === 'string' && /^[\w.-]{1,64}$/.test(code)) return code;
  } catch {
    // What is no JSON names no error.
  }
  return `answered ${response.status}`;
}

function consequence(
  { attempts, queuedAt, receiver }: DueDelivery,
  answer: Exclude<Answer, { kind: 'taken' }>,
  now: Date,
): FailedAttempt {
  const { status, error } = answer;
  const isOver = now.getTime() - queuedAt.getTime() >= GIVE_UP_AFTER_MS;
  if (answer.kind === 'refused') {
    const nextAttemptAt = isOver || attempts >= MOST_REFUSALS ? null : after(now, attempts);
    return { status, error, nextAttemptAt, receiverRetryAt: null };
  }
  const receiverRetryAt = after(now, receiver.failures);
  return { status, error, nextAttemptAt: isOver ? null : receiverRetryAt, receiverRetryAt };
}

/** Twice as long after each failure, up to an hour; spread, so that not everything comes back in the same moment. */
function after(now: Date, failures: number): Date {
  const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 20));
  return new Date(now.getTime() + pauseMs * (0.5 + Math.random()));
}
