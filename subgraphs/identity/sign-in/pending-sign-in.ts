import type { TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { isSecretOf } from '#kit/secret.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import type { Continuation } from '../sessions/continuation.ts';
import { newOneTimeToken, parseOneTimeToken, type OneTimeToken } from '../sessions/one-time-token.ts';

/** Somebody who has proven the first factor and owes the second; the token is shown this once. */
export interface PendingSignIn {
  readonly token: string;
  readonly expiresAt: Date;
}

/** What stands behind a token of a pending sign-in that is still in time. */
export interface PendingState {
  readonly uuid: string;
  readonly userId: Id<'usr'>;
  /** What the audit event of the session is to say of the first factor. */
  readonly context: Readonly<Record<string, JsonValue>>;
  /** The app that waits for her. */
  readonly continuation: Continuation | null;
}

const LIFETIME_MS = 5 * 60_000;

type Query = Pick<TenantTransaction, 'query'>;

/** Notes that somebody has proven the first factor; what is out of time is forgotten on the way. */
export async function openPendingSignIn(
  tx: Query,
  ctx: RequestContext,
  { userId, context, continuation }: Omit<PendingState, 'uuid'>,
): Promise<PendingSignIn> {
  const now = ctx.clock();
  const expiresAt = new Date(now.getTime() + LIFETIME_MS);
  const { token, uuid, secretHash } = newOneTimeToken('tnf', ctx.tenant.tenant);
  await tx.query(
    `delete from pending_sign_ins where id in (
       select id from pending_sign_ins where expires_at <= $1 order by expires_at limit 100 for update skip locked)`,
    [now],
  );
  const made = await tx.query(
    `insert into pending_sign_ins (id, user_id, secret_hash, epoch, context, continuation, expires_at)
       select $1, id, $3, epoch, $4, $5, $6 from users where id = $2 and active returning id`,
    [uuid, uuidOf('usr', userId), secretHash, JSON.stringify(context), JSON.stringify(continuation), expiresAt],
  );
  if (made.length === 0) return fail('NOT_FOUND', 'no active user of that id');
  return { token, expiresAt };
}

/** Returns the parts of a token; a text of any other shape is UNAUTHENTICATED. */
export function readPendingToken(text: string): OneTimeToken {
  return parseOneTimeToken('tnf', text) ?? refuse();
}

interface PendingRow {
  readonly user_id: string;
  readonly secret_hash: Buffer;
  readonly context: Readonly<Record<string, JsonValue>>;
  readonly continuation: Continuation | null;
}

/**
 * Returns what a token stands for. Unknown, used and expired ones, and those of somebody whom a deactivation or an
 * administrator has put out meanwhile, are all UNAUTHENTICATED.
 */
export async function readPendingSignIn(tx: Query, { uuid, secret }: OneTimeToken, now: Date): Promise<PendingState> {
  const [row] = await tx.query<PendingRow>(
    `select p.user_id, p.secret_hash, p.context, p.continuation from pending_sign_ins p join users u on u.id = p.user_id
      where p.id = $1 and p.expires_at > $2 and u.active and u.epoch = p.epoch`,
    [uuid, now],
  );
  if (row === undefined || !isSecretOf(row.secret_hash, secret)) return refuse();
  return { uuid, userId: idOf('usr', row.user_id), context: row.context, continuation: row.continuation };
}

/** Uses it up; where another request did so at the same moment it is UNAUTHENTICATED. */
export async function closePendingSignIn(tx: Query, { uuid }: Pick<PendingState, 'uuid'>): Promise<void> {
  const closed = await tx.query('delete from pending_sign_ins where id = $1 returning id', [uuid]);
  if (closed.length === 0) refuse();
}

/** Ends those of a person, as with her sessions. */
export async function endPendingSignIns(tx: Query, userId: Id<'usr'>): Promise<void> {
  await tx.query('delete from pending_sign_ins where user_id = $1', [uuidOf('usr', userId)]);
}

function refuse(): never {
  return fail('UNAUTHENTICATED', 'no sign-in waits for a second factor under this token');
}
