import { systemContext } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { enqueueJob } from '#kit/jobs/enqueue.ts';
import type { CellTurn, CellTurnContext, JobKind } from '#kit/jobs/job-kind.ts';
import { log } from '#kit/log.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
import { idOf, mintId, type Id } from '#schema/ids.ts';
import type { TenantState } from '#schema/tenant-context.ts';
import { readContract } from './contract.ts';
import { askForNotice } from './life-notices.ts';
import { takeDueStep } from './life-step.ts';
import { TRANSITIONS } from './lifecycle.ts';
import { Tenant } from './model.ts';

const DAY_MS = 24 * 3_600_000;
/** So many days before its end a trial is spoken of; the last two ask for the confirmation. */
const REMINDER_DAYS = [7, 3, 1];
/** More steps at one moment than the longest way through the table. */
const MOST_STEPS = 12;
const PAGE = 500;

/** States that the clock leads out of, whoever is in them. */
const TIMED_STATES: readonly TenantState[] = [
  ...new Set(TRANSITIONS.filter(({ by }) => by.includes('clock')).map(({ from }) => from)),
];

/** Looks at one tenant's life: sends the mails that are due and takes the steps that are. */
export const liveJob: JobKind<null> = {
  name: 'tenants.live',
  lane: 'quick',
  attempts: 10,
  timeoutMs: 5 * 60_000,
  evenEnded: true,
  check: () => null,
  run: async (ctx) => void (await live(ctx)),
};

/** Once a day, in each cell: every tenant whom time leads anywhere is looked at, each in a job of her own. */
export const lifeTurn: CellTurn = { name: 'tenants.live_all', schedule: '17 2 * * *', run: lookAtAll };

/** Does what is due in the life of the context's tenant, and returns the names of the steps that were taken. */
export async function live(ctx: RequestContext): Promise<string[]> {
  const taken: string[] = [];
  for (let count = 0; count < MOST_STEPS; count += 1) {
    await remind(ctx);
    const step = await takeDueStep(ctx);
    if (step === null) break;
    taken.push(step.step.action);
  }
  return taken;
}

/** A trial is spoken of before its end, and a conversion announced after it: at the earliest then, and each once. */
async function remind(ctx: RequestContext): Promise<void> {
  const now = ctx.clock();
  await inTenant(ctx, async (tx) => {
    const { state } = await tx.manager.findOneByOrFail(Tenant, { id: ctx.tenant.tenant });
    if (state !== 'trial') return;
    const { trialEndsAt, confirmedAt } = await readContract(tx);
    if (trialEndsAt === null) return;
    if (now >= trialEndsAt) {
      if (confirmedAt !== null) await askForNotice(tx, ctx, { notice: 'conversion', about: confirmedAt });
      return;
    }
    const leftDays = (trialEndsAt.getTime() - now.getTime()) / DAY_MS;
    const due = REMINDER_DAYS.findLast((days) => leftDays <= days);
    if (due === undefined) return;
    // Told apart by a millisecond each, so that every reminder is one of its own and still names the day of the end.
    await askForNotice(tx, ctx, { notice: 'trial_reminder', about: new Date(trialEndsAt.getTime() - due) });
  });
}

async function lookAtAll({ platform, cell, signal }: CellTurnContext): Promise<void> {
  for await (const tenant of tenantsIn({ platform, cell, signal })) {
    try {
      const purpose = { name: 'life', requestId: mintId('req') };
      const ctx = requestContext(platform, await systemContext(platform.databases, tenant, purpose));
      await inTenant(ctx, (tx) => enqueueJob(tx, ctx, { kind: liveJob, input: null, key: 'live' }));
    } catch (error) {
      const { code, message } = asTenonError(error);
      log('error', `the life of a tenant was not looked at: ${message}`, { tenant, code });
    }
  }
}

async function* tenantsIn({ platform, cell, signal }: CellTurnContext): AsyncGenerator<Id<'tnt'>> {
  let after = '00000000-0000-0000-0000-000000000000';
  while (!signal.aborted) {
    const { rows } = await platform.databases.directory.query<{ id: string }>(
      'select id from tenants where cell = $1 and id > $2 and state = any($3) order by id limit $4',
      [cell, after, TIMED_STATES, PAGE],
    );
    for (const { id } of rows) yield idOf('tnt', id);
    after = rows.at(-1)?.id ?? after;
    if (rows.length < PAGE) return;
  }
}
