import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Id } from '#schema/ids.ts';
import { localSignInAllowed } from '../connections/local-sign-in.ts';
import type { ChangeSignInPolicyInput } from './inputs.ts';
import { LocalMethod, type SignInPolicy } from './model.ts';
import type { RefusalReason } from './refusal.ts';

/** What a mailed sign-in link is called in the lists of an administrator, and told from one that she made by hand. */
export const MAILED_LINK_NAME = 'mailed sign-in link';

type Query = Pick<TenantTransaction, 'query'>;

interface PolicyRow {
  readonly local_methods: LocalMethod[];
  readonly require_second_factor: boolean;
}

/** Returns what the tenant asks of those who sign in without an identity provider; by default either way, one factor. */
export async function readSignInPolicy(tx: Query): Promise<SignInPolicy> {
  const [row] = await tx.query<PolicyRow>('select local_methods, require_second_factor from sign_in_policies');
  if (row === undefined)
    return { localMethods: [LocalMethod.SIGN_IN_LINK, LocalMethod.PASSKEY], requireSecondFactor: false };
  return { localMethods: row.local_methods, requireSecondFactor: row.require_second_factor };
}

/**
 * Changes it for every sign-in from now on; sessions that are open stay open. Where links are closed, those that were
 * mailed end; one that an administrator makes by hand still opens, for the day on which somebody has lost her passkey.
 */
export async function changeSignInPolicy(ctx: RequestContext, input: ChangeSignInPolicyInput): Promise<SignInPolicy> {
  const { localMethods, requireSecondFactor } = input;
  return inTenant(ctx, async (tx) => {
    const before = await readSignInPolicy(tx);
    await tx.query(
      `insert into sign_in_policies (local_methods, require_second_factor, updated_at) values ($1, $2, $3)
         on conflict (tenant_id) do update set local_methods = excluded.local_methods,
           require_second_factor = excluded.require_second_factor, updated_at = excluded.updated_at`,
      [localMethods, requireSecondFactor, ctx.clock()],
    );
    if (!localMethods.includes(LocalMethod.SIGN_IN_LINK)) await endMailedLinks(tx, ctx.clock());
    await appendAudit(tx, ctx, {
      action: 'sign_in_policy.change',
      resource: { type: 'sign_in_policy', id: ctx.tenant.tenant, name: null },
      context: { from: auditOf(before), to: auditOf({ localMethods, requireSecondFactor }) },
    });
    return readSignInPolicy(tx);
  });
}

/** Returns why somebody may not sign in this way, or null where she may. */
export async function methodRefusal(
  tx: Query,
  userId: Id<'usr'>,
  method: LocalMethod,
): Promise<Extract<RefusalReason, 'method_not_allowed' | 'sso_enforced'> | null> {
  if (!(await localSignInAllowed(tx, userId))) return 'sso_enforced';
  const { localMethods } = await readSignInPolicy(tx);
  return localMethods.includes(method) ? null : 'method_not_allowed';
}

async function endMailedLinks(tx: Query, now: Date): Promise<void> {
  await tx.query(
    `update credentials set revoked_at = $2 where kind = 'sign_in_link' and name = $1 and revoked_at is null`,
    [MAILED_LINK_NAME, now],
  );
}

function auditOf({ localMethods, requireSecondFactor }: SignInPolicy) {
  return { local_methods: [...localMethods], require_second_factor: requireSecondFactor };
}
