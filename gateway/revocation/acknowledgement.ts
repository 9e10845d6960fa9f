import { randomUUID } from 'node:crypto';
import type { ChangeFeed } from '#kit/change-feed.ts';
import { systemContext } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { logError } from '#kit/log.ts';
import { appendAudit } from '#kit/outbox.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
import { idOf, uuidv7, type Id, type IdPrefix } from '#schema/ids.ts';

/** What is written down at the same moment; the rest waits. */
const MOST_AT_ONCE = 4;
/** Beyond that a revocation goes without the word of this gateway; its record says how many are missing. */
const MOST_WAITING = 10_000;
/** Whoever has not said by then that a revocation is in force is counted as missing. */
const PATIENCE_MS = 5_000;
/** Gateways lose their patience one after the other, so that the first one spares the others the work. */
const SPREAD_MS = 2_000;

/** A revocation that this gateway has put into force. */
interface Heard {
  readonly tenant: Id<'tnt'>;
  readonly revocation: string;
  readonly heardMs: number;
}

/**
 * Says of every revocation in the cells that it is in force in this gateway, as soon as it is, until the returned function
 * is called, which waits for what is being written. The last gateway to say so completes the record:
 * `access.revocation_enforced` in the audit log of the tenant, with the time that it took, by the clock of the database,
 * which counts the way to it as well. Gateways that say nothing for seconds are counted in it as missing; they read each
 * credential anew after 750 ms without news.
 */
export function acknowledgeRevocations(platform: Platform, feed: Pick<ChangeFeed, 'subscribe'>): () => Promise<void> {
  const gateway = uuidv7();
  const waiting: Heard[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const running = new Set<Promise<void>>();
  const unsubscribe = feed.subscribe(({ tenant, revocation }) => {
    if (tenant === null || revocation === undefined || waiting.length >= MOST_WAITING) return;
    waiting.push({ tenant, revocation, heardMs: performance.now() });
    if (running.size < MOST_AT_ONCE) run(work());
    if (timers.size < MOST_WAITING) later(() => run(attempt(platform, tenant, closeOverdue)));
  });
  return async () => {
    unsubscribe();
    waiting.length = 0;
    for (const timer of timers) clearTimeout(timer);
    await Promise.all(running);
  };

  function run(started: Promise<void>): void {
    running.add(started);
    void started.finally(() => running.delete(started));
  }

  async function work(): Promise<void> {
    for (let heard = waiting.shift(); heard !== undefined; heard = waiting.shift()) {
      const { tenant, ...said } = heard;
      await attempt(platform, tenant, (tx, ctx) => acknowledge(tx, ctx, { ...said, gateway }));
    }
  }

  function later(act: () => void): void {
    const timer = setTimeout(
      () => {
        timers.delete(timer);
        act();
      },
      PATIENCE_MS + Math.random() * SPREAD_MS,
    ).unref();
    timers.add(timer);
  }
}

type Step = (tx: TenantTransaction, ctx: RequestContext) => Promise<void>;

/** A record that cannot be written now is completed by another gateway, or after the next revocation. */
async function attempt(platform: Platform, tenant: Id<'tnt'>, step: Step): Promise<void> {
  const requestId = `req_${randomUUID()}`;
  try {
    const context = await systemContext(platform.databases, tenant, { name: 'gateway', requestId });
    const ctx = requestContext(platform, context);
    await inTenant(ctx, (tx) => step(tx, ctx));
  } catch (thrown) {
    logError(asTenonError(thrown), requestId);
  }
}

async function acknowledge(
  tx: TenantTransaction,
  ctx: RequestContext,
  { revocation, gateway, heardMs }: Omit<Heard, 'tenant'> & { readonly gateway: string },
): Promise<void> {
  // One gateway after the other, so that the last one sees the word of all others.
  const [row] = await tx.query('select id from revocations where id = $1 for update', [revocation]);
  if (row === undefined) return;
  await tx.query(
    `insert into revocation_acknowledgements (revocation_id, gateway_id, enforced_at)
     values ($1, $2, clock_timestamp() - make_interval(secs => $3)) on conflict do nothing`,
    [revocation, gateway, (performance.now() - heardMs) / 1000],
  );
  await complete(tx, ctx, { where: 'r.id = $1 and a.confirmed >= r.gateways', value: revocation });
}

/** Completes what gateways did not speak of, of this revocation and of older ones that nobody was there to complete. */
async function closeOverdue(tx: TenantTransaction, ctx: RequestContext): Promise<void> {
  const where = 'r.revoked_at < clock_timestamp() - make_interval(secs => $1)';
  await complete(tx, ctx, { where, value: (PATIENCE_MS - 500) / 1000 });
}

interface CompletedRow {
  readonly id: string;
  readonly subject_type: keyof typeof SUBJECT_IDS;
  readonly subject_id: string;
  readonly reason: string;
  readonly sequence: string | null;
  readonly gateways: number;
  readonly confirmed: number;
  readonly revoked_at: Date;
  readonly latency_ms: string;
}

const SUBJECT_IDS = { user: 'usr', api_key: 'key', scim_token: 'scm', tenant: 'tnt' } as const satisfies Record<
  string,
  IdPrefix
>;

async function complete(
  tx: TenantTransaction,
  ctx: RequestContext,
  { where, value }: { readonly where: string; readonly value: unknown },
): Promise<void> {
  const rows = await tx.query<CompletedRow>(
    `update revocations r set enforced_at = greatest(coalesce(a.last, clock_timestamp()), r.revoked_at),
            confirmed = a.confirmed
       from (select o.id, count(k.gateway_id)::integer as confirmed, max(k.enforced_at) as last
               from revocations o left join revocation_acknowledgements k on k.revocation_id = o.id
              where o.enforced_at is null group by o.id) a
      where a.id = r.id and r.enforced_at is null and ${where}
      returning r.id, r.subject_type, r.subject_id, r.reason, r.sequence, r.gateways, r.confirmed, r.revoked_at,
                extract(epoch from r.enforced_at - r.revoked_at) * 1000 as latency_ms`,
    [value],
  );
  for (const row of rows) await recordEnforced(tx, ctx, row);
}

async function recordEnforced(tx: TenantTransaction, ctx: RequestContext, row: CompletedRow): Promise<void> {
  const { subject_type: type, subject_id: subject, reason, sequence, gateways, confirmed } = row;
  await appendAudit(tx, ctx, {
    action: 'access.revocation_enforced',
    resource: { type, id: idOf(SUBJECT_IDS[type], subject), name: null },
    context: {
      reason,
      revoked_at: row.revoked_at.toISOString(),
      latency_ms: Math.ceil(Number(row.latency_ms)),
      sequence: sequence === null ? null : Number(sequence),
      gateways,
      unconfirmed: Math.max(0, gateways - confirmed),
    },
  });
}
