import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, type Id } from '#schema/ids.ts';
import { hashInput, sealJob } from '#schema/job-token.ts';
import type { TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { handOnNext } from './hand-on.ts';
import type { JobKind } from './job-kind.ts';

/** A job to be done. */
export interface JobOrder<Input extends JsonValue> {
  readonly kind: JobKind<Input>;
  readonly input: Input;
  /** While a job of this kind and key waits or runs there is no second one. */
  readonly key?: string;
}

/** Who asks for a job, when, and what signs it. */
export type JobAsker = Pick<RequestContext, 'tenant' | 'clock' | 'databases'>;

/** So often a job of the same key may end between two looks at it. */
const MOST_LOOKS = 3;

/**
 * Asks for a job in the transaction that gives rise to it: both are committed or neither is. Returns its id, or that of the
 * one of the same key that is not done yet. An input that its kind does not take is BAD_USER_INPUT. The job is signed for
 * the tenant, input and actor of the request; what she may do has to be checked before.
 */
export async function enqueueJob<Input extends JsonValue>(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: JobAsker,
  order: JobOrder<Input>,
): Promise<Id<'job'>> {
  const { kind, key = null } = order;
  const input = kind.check(order.input);
  for (let look = 0; look < MOST_LOOKS; look += 1) {
    const id = mintId('job');
    const token = jobToken(ctx, { id, kind: kind.name, input });
    const made = await tx.query(INSERT, [
      uuidOf('job', id),
      kind.name,
      kind.lane,
      key,
      JSON.stringify(input),
      token,
      kind.attempts,
      ctx.tenant.actor.id,
      ctx.clock(),
    ]);
    if (made.length === 1) {
      await handOnNext(tx, kind.lane, ctx.clock());
      return id;
    }
    const [waiting] = await tx.query<{ id: string }>(
      `select id from jobs where kind = $1 and key = $2 and state in ('queued', 'running', 'failed')`,
      [kind.name, key],
    );
    if (waiting !== undefined) return idOf('job', waiting.id);
  }
  return fail('CONFLICT', `jobs of the key ${key} come and go`);
}

/** Returns the token with which a job is handed on, signed for whoever asks. */
export function jobToken(
  { tenant, databases }: JobAsker,
  { id, kind, input }: { readonly id: Id<'job'>; readonly kind: string; readonly input: JsonValue },
): string {
  const { type, id: actor } = tenant.actor;
  const claims = {
    tenant: tenant.tenant,
    job: id,
    kind,
    inputHash: hashInput(input),
    actor: { type, id: actor },
    sessionId: tenant.sessionId,
    requestId: tenant.requestId,
  };
  // By the clock of this machine, as every other signature: the worker judges it by its own.
  return sealJob(claims, databases.keys, Date.now());
}

const INSERT = `insert into jobs (id, kind, lane, key, input, token, max_attempts, requested_by, created_at)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
  on conflict (tenant_id, kind, key) where key is not null and state in ('queued', 'running', 'failed') do nothing
  returning id`;
