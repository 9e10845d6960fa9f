import { inTenantOnce } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { ACCOUNT_LOCKOUT, ADDRESS_LOCKOUT } from '../sign-in/lockout.ts';

/** Rows of one statement, so that none holds its locks for long. */
const BATCH = 500;
/** Statements of one table, tenant and turn; what is left over goes in the next. */
const MOST_BATCHES = 40;
/** A code that comes again within that time still ends its session, as a copy. */
const CODE_KEPT_HOURS = 24;

/** A table, the rest of its key after the tenant, and which of its rows are over at $1. */
interface Sweep {
  readonly table: string;
  readonly key: string;
  readonly isOver: string;
}

const SWEEPS: readonly Sweep[] = [
  { table: 'sign_in_flows', key: 'id', isOver: 'expires_at < $1' },
  { table: 'used_assertions', key: 'connection_id, id_hash', isOver: 'expires_at < $1' },
  { table: 'spent_challenges', key: 'challenge_hash', isOver: 'expires_at < $1' },
  { table: 'pending_sign_ins', key: 'id', isOver: 'expires_at < $1' },
  {
    table: 'authorization_codes',
    key: 'id',
    isOver: `expires_at < $1::timestamptz - interval '${CODE_KEPT_HOURS} hours'`,
  },
  {
    table: 'refresh_tokens',
    key: 'id',
    isOver: 'session_id in (select id from credentials where revoked_at is not null or expires_at < $1)',
  },
  {
    table: 'sign_in_attempts',
    key: 'subject',
    isOver: `last_failed_at < $1::timestamptz - case when user_id is null
               then interval '${ADDRESS_LOCKOUT.forgottenAfterMs} milliseconds'
               else interval '${ACCOUNT_LOCKOUT.forgottenAfterMs} milliseconds' end`,
  },
];

/** Deletes what has expired of a tenant's sign-ins, in small batches, and returns how many rows went. */
export async function deleteExpired(ctx: RequestContext): Promise<number> {
  let deleted = 0;
  for (const sweep of SWEEPS) deleted += await sweepTable(ctx, sweep);
  return deleted;
}

/** Whoever holds a row is about to delete it too. */
async function sweepTable(ctx: RequestContext, { table, key, isOver }: Sweep): Promise<number> {
  const now = ctx.clock();
  const text = `with gone as (
      delete from ${table} where (${key}) in (
        select ${key} from ${table} where ${isOver} limit ${BATCH} for update skip locked) returning 1)
    select count(*)::int as count from gone`;
  let deleted = 0;
  for (let batch = 0; batch < MOST_BATCHES; batch += 1) {
    const [{ count } = { count: 0 }] = await inTenantOnce(ctx, (tx) => tx.query<{ count: number }>(text, [now]));
    deleted += count;
    if (count < BATCH) break;
  }
  return deleted;
}
