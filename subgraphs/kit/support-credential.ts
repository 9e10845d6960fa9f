import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import type { Scope } from '#schema/scopes.ts';
import type { SupportAccess, SupportSession } from '#schema/support-access.ts';
import type { TokenParts } from './credential.ts';
import type { TenantTransaction } from './database.ts';
import { hashSecret, newSecret } from './secret.ts';

/** What is read of the grant beside the credential `c` of an operator; null in any other's. */
export const SUPPORT_COLUMNS = `g.operator as support_operator, g.access as support_access,
            g.personal_data as support_personal, g.expires_at as support_ends`;
/** Its row; columns of a credential that is none of an operator's are null. */
export interface SupportRow {
  readonly support_operator: string | null;
  readonly support_access: SupportAccess | null;
  readonly support_personal: boolean | null;
  readonly support_ends: Date | null;
}
/** Joins the grant of a credential `c`. */
export const SUPPORT_JOIN = `left join support_grants g on c.kind = 'support' and g.id = c.id`;
/** Holds for any other credential, and for an operator's while she is let in, by the clock of the database. */
export const SUPPORT_LASTS = `(c.kind <> 'support' or (g.approved and g.ended_at is null and g.expires_at > clock_timestamp()
        and c.expires_at > clock_timestamp()))`;

/** Returns what the context of an operator's token carries; undefined for any other token. */
export function supportOf(
  { kind, credentialUuid }: Pick<TokenParts, 'kind' | 'credentialUuid'>,
  { support_access: access, support_personal: personal, support_ends: ends }: SupportRow,
): SupportSession | undefined {
  if (kind !== 'support' || access === null || ends === null) return undefined;
  return { grant: idOf('sup', credentialUuid), access, personal: personal === true, endsAtMs: ends.getTime() };
}

/**
 * Stores the credential of a grant and returns its token, which is shown this once. There is one of a grant: the token of
 * before is worth nothing from now on.
 */
export async function issueSupportToken(
  tx: Pick<TenantTransaction, 'query'>,
  tenant: Id<'tnt'>,
  {
    grant,
    scopes,
    expiresAt,
  }: { readonly grant: Id<'sup'>; readonly scopes: readonly Scope[]; readonly expiresAt: Date },
): Promise<string> {
  const secret = newSecret();
  await tx.query(
    `insert into credentials (id, kind, name, scopes, secret_hash, expires_at) values ($1, 'support', $2, $3, $4, $5)
     on conflict (tenant_id, id) do update
       set scopes = excluded.scopes, secret_hash = excluded.secret_hash, expires_at = excluded.expires_at`,
    [uuidOf('sup', grant), grant, scopes, hashSecret(secret), expiresAt],
  );
  return `tng_${tenant.slice(4)}.${grant.slice(4)}.${secret}`;
}

/** Ends the credential of a grant, in every gateway within a second of the commit. */
export async function endSupportToken(tx: Pick<TenantTransaction, 'query'>, grant: Id<'sup'>): Promise<void> {
  await tx.query(
    `update credentials set revoked_at = clock_timestamp() where id = $1 and kind = 'support' and revoked_at is null`,
    [uuidOf('sup', grant)],
  );
}
