import type { JobKind } from '#kit/jobs/job-kind.ts';
import { enqueueJob } from '#kit/jobs/enqueue.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { mailOfCell, sendMail } from '#kit/mail.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { readContract } from './contract.ts';
import { Tenant } from './model.ts';

/** A mail of a tenant's life. */
export interface Notice {
  /** A step of the table, or one of those that the clock sends beside. */
  readonly notice: string;
  /** What it is about: two of the same name and time are one. */
  readonly about: Date;
}

type NoticeInput = { readonly notice: string; readonly about: string };

/** More administrators than a tenant has; the rest read it in the log. */
const MOST_RECIPIENTS = 20;

/** Subject and text of each mail; `date` is the day that it is about. */
const NOTICES: Readonly<Record<string, (name: string, date: string) => readonly [subject: string, text: string]>> = {
  trial_reminder: (name, date) => [
    `The trial of ${name} ends on ${date}`,
    `The trial of ${name} ends on ${date}. Nothing is charged unless an administrator confirms it: without a confirmation the tenant becomes read-only after it, and no invoice is written.`,
  ],
  conversion: (name) => [
    `${name} becomes a paying customer`,
    `The trial of ${name} is over, and an administrator has confirmed that it goes on. Not before a day from now ${name} becomes a paying customer. Until then an administrator can withdraw the confirmation, and nothing is charged.`,
  ],
  convert: (name) => [`${name} is active`, `${name} is a paying customer from now on.`],
  end_trial: (name) => [
    `The trial of ${name} has ended`,
    `Nobody confirmed that ${name} goes on, so it is read-only now and nothing was charged. Payment, export and administration still work.`,
  ],
  miss_payment: (name) => [
    `A payment of ${name} is missing`,
    `An invoice of ${name} is unpaid. Everything works for now; later ${name} becomes read-only, and then it is paused.`,
  ],
  restrict: (name) => [
    `${name} is read-only`,
    `An invoice of ${name} is still unpaid, so it is read-only now. Payment, export and administration still work.`,
  ],
  pause: (name) => [
    `${name} is paused`,
    `${name} is paused for want of payment. Payment and export still work; later it is deleted.`,
  ],
  suspend: (name) => [`${name} is suspended`, `An operator has suspended ${name}. Payment and export still work.`],
  pay: (name) => [`${name} is active again`, `The payment has come; ${name} is active again.`],
  reinstate: (name) => [`${name} is active again`, `${name} is active again.`],
  cancel: (name) => [
    `${name} is cancelled`,
    `${name} is cancelled and read-only. Its data can be exported for at least 30 days; then it is deleted.`,
  ],
  delete: (name) => [
    `${name} is deleted`,
    `${name} is deleted. For some days it can be recovered: answer whoever looks after you. Then everything is erased.`,
  ],
  request_support: (name) => [
    `Support asks to be let into ${name}`,
    `An operator of the platform asks to be let into ${name}. Nobody gets in without your word: an administrator approves or denies it under support access (supportGrants, approveSupport, denySupport). Without an answer the request lapses after seven days.`,
  ],
  use_support: (name) => [
    `Support has come into ${name}`,
    `An operator whom an administrator let into ${name} has come in. The audit log shows all that she does, with the actor type support; an administrator can end the access at once (revokeSupport).`,
  ],
  recover: (name) => [`${name} is recovered`, `${name} is recovered, and paused until what is open is settled.`],
};

/** Sends a mail to the administrators of a tenant, whatever she may still do. Several of them may get it twice. */
export const notifyJob: JobKind<NoticeInput> = {
  name: 'tenants.notify',
  lane: 'quick',
  attempts: 8,
  timeoutMs: 60_000,
  check: (input) => {
    const { notice, about } = (input ?? {}) as Partial<NoticeInput>;
    if (typeof notice !== 'string' || !Object.hasOwn(NOTICES, notice) || Number.isNaN(Date.parse(about ?? ''))) {
      return fail('BAD_USER_INPUT', 'no such notice');
    }
    return { notice, about: about ?? '' };
  },
  run: async (ctx, { notice, about }, report) => {
    const { name, addresses } = await inTenant(ctx, async (tx) => {
      const tenant = await tx.manager.findOneByOrFail(Tenant, { id: ctx.tenant.tenant });
      const rows = await tx.query<{ email: string }>(ADMINISTRATORS, [MOST_RECIPIENTS]);
      return { name: tenant.name, addresses: rows.map(({ email }) => email) };
    });
    const [subject, text] = NOTICES[notice]?.(name, about.slice(0, 10)) ?? fail('BAD_USER_INPUT', 'no such notice');
    const mail = mailOfCell(ctx.platform, ctx.tenant.cell);
    for (const [index, to] of addresses.entries()) {
      await sendMail(mail, { to, subject, text: `${text}\n` });
      await report(index + 1, addresses.length);
    }
    await inTenant(ctx, async (tx) => noteSent(tx, ctx, { notice, about: new Date(about), reached: addresses.length }));
  },
};

/** Asks for a mail in the transaction of what it is about; one that was asked for before is not asked for again. */
export async function askForNotice(
  tx: TenantTransaction,
  ctx: RequestContext,
  { notice, about }: Notice,
): Promise<void> {
  const asked = await tx.query(
    `insert into tenant_notices (notice, about, asked_at) values ($1, $2, $3) on conflict do nothing returning notice`,
    [notice, about, ctx.clock()],
  );
  if (asked.length === 0) return;
  await enqueueJob(tx, ctx, { kind: notifyJob, input: { notice, about: about.toISOString() } });
}

/** What is announced counts from the moment at which somebody could read it. */
async function noteSent(
  tx: TenantTransaction,
  ctx: RequestContext,
  { notice, about, reached }: Notice & { readonly reached: number },
): Promise<void> {
  const now = ctx.clock();
  await tx.query('update tenant_notices set sent_at = $3 where notice = $1 and about = $2', [notice, about, now]);
  if (notice !== 'conversion' || reached === 0) return;
  const { confirmedAt } = await readContract(tx);
  // Whoever withdrew meanwhile and confirmed anew is told anew.
  if (confirmedAt?.getTime() !== about.getTime()) return;
  await tx.query('update tenant_contracts set announced_at = $1, updated_at = $1 where announced_at is null', [now]);
}

const ADMINISTRATORS = `select distinct u.email from users u
   join user_roles ur on ur.user_id = u.id join roles r on r.id = ur.role_id
  where u.active and u.email is not null and r.built_in and r.name = 'admin' order by u.email limit $1`;
