import { randomBytes } from 'node:crypto';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { findTenantByDomain } from '#kit/directory.ts';
import { appendAudit, recordAudit, type AuditNote } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOf, uuidOrNull } from '#schema/ids.ts';
import { hasRecord } from './dns-proof.ts';
import { requireConnection } from './connection.ts';
import type { UpdateEmailDomainInput } from './inputs.ts';
import { EmailDomain } from './model.ts';

/** More than a company has; each costs a look at DNS now and then. */
const MAX_DOMAINS = 100;
const DAY_MS = 86_400_000;
/** How long a proven domain stays proven without its record: longer than a mistake in DNS stays unnoticed. */
const GRACE_MS = 14 * DAY_MS;

type Manager = Pick<TenantTransaction, 'manager'>;

/** Returns the tenant's domains by name, proven or not. */
export async function listDomains(ctx: RequestContext): Promise<EmailDomain[]> {
  return inTenantOnce(ctx, ({ manager }) => manager.find(EmailDomain, { order: { domain: 'ASC' } }));
}

/**
 * Claims a domain; nothing follows from that until DNS has proven it, so several tenants may. One that the directory knows
 * as the tenant's is proven at once. Again is UNIQUENESS.
 */
export async function addEmailDomain(ctx: RequestContext, name: string): Promise<EmailDomain> {
  const domain = name.toLowerCase();
  const isOurs = (await findTenantByDomain(ctx.databases, domain))?.id === ctx.tenant.tenant;
  const id = mintId('dom');
  return inTenant(ctx, async (tx) => {
    const [{ count } = { count: 0 }] = await tx.query<{ count: number }>(
      'select count(*)::int as count from domain_proofs',
    );
    if (count >= MAX_DOMAINS)
      fail('TOO_MANY', 'too many domains', { hint: `A tenant has at most ${MAX_DOMAINS} domains.` });
    await tx.query(
      'insert into domain_proofs (id, domain, token, verified_at, created_at) values ($1, $2, $3, $4, $5)',
      [uuidOf('dom', id), domain, randomBytes(32).toString('base64url'), isOurs ? ctx.clock() : null, ctx.clock()],
    );
    await appendAudit(tx, ctx, note('email_domain.add', { id, domain }, { verified: isOurs }));
    return requireDomain(tx, id);
  });
}

/**
 * Looks for the record of a domain in DNS. Found, the domain is proven from now on; where another tenant has proven it
 * before, it is CONFLICT, without a word on whom. Not found, an unproven domain stays unproven; a proven one is marked, and
 * is proven no more once the record has been missing for 14 days. SERVICE_UNAVAILABLE where DNS does not answer.
 */
export async function verifyEmailDomain(
  ctx: RequestContext,
  id: string,
): Promise<{ emailDomain: EmailDomain; recordFound: boolean }> {
  const claim = await inTenant(ctx, (tx) => requireDomain(tx, id));
  const recordFound = await hasRecord(ctx.platform, claim);
  const emailDomain = recordFound ? await prove(ctx, claim) : await missRecord(ctx, claim);
  return { emailDomain, recordFound };
}

/** Gives a domain up: nobody is found by it, or made of it, from now on. Those who are there stay. */
export async function removeEmailDomain(ctx: RequestContext, id: string): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const domain = await requireDomain(tx, id);
    await tx.query('delete from domain_proofs where id = $1', [uuidOf('dom', domain.id)]);
    await appendAudit(tx, ctx, note('email_domain.remove', domain, { was_enforced: domain.ssoEnforced }));
    // Last, so that a directory that is away keeps the row here too.
    await release(ctx, domain.domain);
    return domain.id;
  });
}

/**
 * Says where the people of a domain sign in. To have them sign in over a connection alone takes a proven domain, an active
 * connection and somebody for break-glass (CONFLICT otherwise), so that nobody locks everybody out.
 */
export async function updateEmailDomain(ctx: RequestContext, input: UpdateEmailDomainInput): Promise<EmailDomain> {
  return inTenant(ctx, async (tx) => {
    const domain = await requireDomain(tx, input.emailDomainId);
    const ssoEnforced = input.ssoEnforced ?? domain.ssoEnforced;
    const connectionId = input.connectionId === undefined ? domain.connectionId : input.connectionId;
    if (connectionId !== null) await requireConnection(tx, connectionId);
    if (ssoEnforced && !domain.ssoEnforced) await requireEnforceable(tx, domain);
    await tx.query('update domain_proofs set sso_enforced = $2, connection_id = $3 where id = $1', [
      uuidOf('dom', domain.id),
      ssoEnforced,
      uuidOrNull('con', connectionId ?? ''),
    ]);
    await appendAudit(
      tx,
      ctx,
      note('email_domain.update', domain, { sso_enforced: ssoEnforced, connection: connectionId }),
    );
    return requireDomain(tx, domain.id);
  });
}

async function requireDomain({ manager }: Manager, id: string): Promise<EmailDomain> {
  const domain =
    uuidOrNull('dom', id) === null ? null : await manager.findOneBy(EmailDomain, { id: id as EmailDomain['id'] });
  return domain ?? fail('NOT_FOUND', 'no such domain in this tenant');
}

/** The directory goes first: its key decides between tenants, and a fault after it is mended by asking again. */
async function prove(ctx: RequestContext, claim: EmailDomain): Promise<EmailDomain> {
  await ctx.databases.directory.query(
    'insert into email_domains (domain, tenant_id, verified_at) values ($1, $2, $3) on conflict do nothing',
    [claim.domain, uuidOf('tnt', ctx.tenant.tenant), ctx.clock()],
  );
  const owner = await findTenantByDomain(ctx.databases, claim.domain);
  if (owner?.id !== ctx.tenant.tenant) {
    await recordAudit(ctx, { ...note('email_domain.verify', claim, { record: 'found' }), outcome: 'denied' });
    fail('CONFLICT', 'another tenant has proven the domain', {
      hint: 'The record was found, but the domain cannot be proven now. Ask the support of the platform.',
    });
  }
  return inTenant(ctx, async (tx) => {
    const proven = await tx.query(
      `update domain_proofs set verified_at = coalesce(verified_at, $2), checked_at = $2, missing_since = null
        where id = $1 returning id`,
      [uuidOf('dom', claim.id), ctx.clock()],
    );
    if (proven.length === 0) fail('NOT_FOUND', 'the domain was removed meanwhile');
    await appendAudit(
      tx,
      ctx,
      note('email_domain.verify', claim, { record: 'found', first: claim.verifiedAt === null }),
    );
    return requireDomain(tx, claim.id);
  });
}

/**
 * Notes that DNS had no record of a domain. An unproven one stays so; a proven one is marked, and is proven no more once the
 * record has been missing for 14 days: nobody is found by it then, and single sign-on is enforced for it no more.
 */
export async function missRecord(ctx: RequestContext, claim: EmailDomain): Promise<EmailDomain> {
  const now = ctx.clock();
  const missingSince = claim.missingSince ?? now;
  const isLapsed = claim.verifiedAt !== null && now.getTime() - missingSince.getTime() >= GRACE_MS;
  const isProven = claim.verifiedAt !== null && !isLapsed;
  return inTenant(ctx, async (tx) => {
    await tx.query(
      `update domain_proofs set checked_at = $2, missing_since = $3, verified_at = case when $4 then null else verified_at end,
              sso_enforced = sso_enforced and not $4 where id = $1`,
      [uuidOf('dom', claim.id), now, isProven ? missingSince : null, isLapsed],
    );
    await appendAudit(tx, ctx, { ...note('email_domain.verify', claim, { record: 'missing' }), outcome: 'failure' });
    if (isLapsed) {
      await appendAudit(tx, ctx, { ...note('email_domain.lapse', claim, { record: 'missing' }), outcome: 'failure' });
      await release(ctx, claim.domain);
    }
    return requireDomain(tx, claim.id);
  });
}

async function release(ctx: RequestContext, domain: string): Promise<void> {
  await ctx.databases.directory.query('delete from email_domains where domain = $1 and tenant_id = $2', [
    domain,
    uuidOf('tnt', ctx.tenant.tenant),
  ]);
}

async function requireEnforceable(tx: Pick<TenantTransaction, 'query'>, domain: EmailDomain): Promise<void> {
  if (domain.verifiedAt === null) refuse('The domain must be proven first.');
  const [active] = await tx.query(
    `select id from identity_connections where state = 'active' order by id limit 1 for no key update`,
  );
  if (active === undefined) refuse('There must be an active connection first.');
  const [person] = await tx.query(
    'select u.id from break_glass_users b join users u on u.id = b.user_id where u.active limit 1',
  );
  if (person === undefined) refuse('Somebody active must be named for break-glass first.');
}

function note(
  action: string,
  { id, domain }: Pick<EmailDomain, 'id' | 'domain'>,
  context: Record<string, string | boolean | null>,
): AuditNote {
  return { action, resource: { type: 'email_domain', id, name: domain }, context };
}

function refuse(hint: string): never {
  return fail('CONFLICT', 'single sign-on cannot be enforced', { hint });
}
