import { inTenant } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { hasRecord } from '../connections/dns-proof.ts';
import { missRecord } from '../connections/domains.ts';
import { EmailDomain } from '../connections/model.ts';

/** A proven domain is looked up at most this often. */
const EVERY_MS = 24 * 3_600_000;

/**
 * Returns the proven domains of a tenant whose record was last looked for a day ago or longer. Those that the directory
 * vouches for, and that were never proven by a record, are not among them: they have none to lose.
 */
export async function domainsDue(ctx: RequestContext): Promise<EmailDomain[]> {
  const before = new Date(ctx.clock().getTime() - EVERY_MS);
  return inTenant(ctx, ({ manager }) =>
    manager
      .createQueryBuilder(EmailDomain, 'row')
      .where('row.verified_at is not null and row.checked_at <= :before', { before })
      .orderBy('row.checked_at')
      .getMany(),
  );
}

/**
 * Looks for the record of a proven domain as `verifyEmailDomain` does: missing for 14 days, the domain is proven no more.
 * That it is still there is no news and leaves no audit event. SERVICE_UNAVAILABLE where DNS does not answer: then nothing
 * changes.
 */
export async function checkDomain(ctx: RequestContext, domain: EmailDomain): Promise<void> {
  if (await hasRecord(ctx.platform, domain)) await keep(ctx, domain);
  else await missRecord(ctx, domain);
}

async function keep(ctx: RequestContext, { id, domain, missingSince }: EmailDomain): Promise<void> {
  await inTenant(ctx, async (tx) => {
    const kept = await tx.query<{ id: Id<'dom'> }>(
      `update domain_proofs set checked_at = $2, missing_since = null
        where id = $1 and verified_at is not null returning id`,
      [uuidOf('dom', id), ctx.clock()],
    );
    if (kept.length === 0 || missingSince === null) return;
    await appendAudit(tx, ctx, {
      action: 'email_domain.verify',
      resource: { type: 'email_domain', id, name: domain },
      context: { record: 'found', first: false },
    });
  });
}
