import type { TenantTransaction } from '#kit/database.ts';
import { findTenantByDomain } from '#kit/directory.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf } from '#schema/ids.ts';
import { isObject } from '#schema/json-object.ts';
import type { ProviderToken } from './provider-token.ts';

/** Whom an identity provider speaks of (RFC 9493), as far as we understand it. */
export type ProviderSubject =
  | { readonly format: 'iss_sub'; readonly iss: string; readonly sub: string }
  | { readonly format: 'email'; readonly email: string };

/** Who it is here: UUIDs of people, of whom there should be one. */
export type FoundSubject = readonly string[] | 'foreign issuer';

const MAX_LENGTH = 1024;

/** Returns the subject of a message, or null where it is none that we understand; hostile input enters here. */
export function readSubject(value: unknown): ProviderSubject | null {
  if (!isObject(value)) return null;
  const { format, iss, sub, email } = value;
  if (format === 'iss_sub' && isText(iss) && isText(sub)) return { format, iss, sub };
  return format === 'email' && isText(email) && /^[^@\s]+@[^@\s]+$/.test(email) ? { format, email } : null;
}

/**
 * Returns whom an identity provider may speak of under that name: whoever signed in over this connection as that subject,
 * or has that address, where she is known to the connection or the address is of a domain that the tenant has proven and has
 * not given to another connection.
 */
export async function findSubject(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { connection, settings, subject }: Pick<ProviderToken, 'connection' | 'settings'> & { subject: ProviderSubject },
): Promise<FoundSubject> {
  const id = uuidOf('con', connection.id);
  if (subject.format === 'iss_sub') {
    if (subject.iss !== settings.issuer) return 'foreign issuer';
    const rows = await tx.query<{ user_id: string }>(
      'select user_id from identity_links where connection_id = $1 and subject = $2',
      [id, subject.sub],
    );
    return rows.map((row) => row.user_id);
  }
  const domain = subject.email.slice(subject.email.lastIndexOf('@') + 1);
  const isProven = (await findTenantByDomain(ctx.databases, domain))?.id === ctx.tenant.tenant;
  const rows = await tx.query<{ id: string }>(
    `select u.id from users u
      where (lower(u.email) = lower($2) or u.user_name_folded = lower($2))
        and (exists (select from identity_links l where l.user_id = u.id and l.connection_id = $1)
          or ($4 and not exists (select from domain_proofs d where d.domain = lower($3) and d.connection_id <> $1)))
      order by u.id limit 2`,
    [id, subject.email, domain, isProven],
  );
  return rows.map((row) => row.id);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_LENGTH;
}
