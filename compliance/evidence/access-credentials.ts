import { CREDENTIAL_KINDS, type CredentialKind } from '#kit/credential.ts';
import { inTenant, inTenantAudit } from '#kit/database.ts';
import { idOf } from '#schema/ids.ts';
import type { CollectionScope } from './collector.ts';
import type { Row } from './table.ts';

interface CredentialRow {
  readonly id: string;
  readonly kind: CredentialKind;
  readonly name: string;
  readonly user_id: string | null;
  readonly created_at: Date;
  readonly expires_at: Date;
}

/** Credentials looked up at a time. */
const PAGE_SIZE = 500;

/** How somebody else gets the credentials that worked at a time. */
export function credentialsSql(at: Date): string {
  return `-- In the tenant database, under the tenant's context; compared with log_entries of the audit database by resource_id:
select id, kind, name, user_id, created_at, expires_at from credentials
 where created_at <= '${at.toISOString()}' and expires_at > '${at.toISOString()}'
   and (revoked_at is null or revoked_at > '${at.toISOString()}')
 order by id`;
}

/** Yields every credential that worked at the time of the scope, with the entry that issued it; none is a difference. */
export async function* liveCredentials(scope: CollectionScope): AsyncGenerator<Row, void, undefined> {
  for (let last = '00000000-0000-0000-0000-000000000000'; ;) {
    const page = await credentialsAfter(scope, last);
    const issued = await issuingEntries(scope, page.map(publicId));
    for (const credential of page) {
      const seq = issued.get(publicId(credential)) ?? null;
      yield {
        credential: publicId(credential),
        kind: credential.kind,
        name: credential.name,
        user: credential.user_id === null ? null : idOf('usr', credential.user_id),
        created_at: credential.created_at.toISOString(),
        expires_at: credential.expires_at.toISOString(),
        issued_seq: seq,
        difference: seq === null ? 'the log holds no entry that issued it' : null,
      };
    }
    const end = page.at(-1);
    if (end === undefined || page.length < PAGE_SIZE) return;
    last = end.id;
  }
}

function credentialsAfter({ ctx, asOf }: CollectionScope, last: string): Promise<CredentialRow[]> {
  return inTenant(ctx, (tx) =>
    tx.query<CredentialRow>(
      `select id, kind, name, user_id, created_at, expires_at from credentials
        where id > $1 and created_at <= $2 and expires_at > $2 and (revoked_at is null or revoked_at > $2)
        order by id limit ${PAGE_SIZE}`,
      [last, asOf],
    ),
  );
}

/** The searchable copy has entries that are not sealed yet, too: what was issued a moment ago is no difference. */
async function issuingEntries({ ctx }: CollectionScope, ids: readonly string[]): Promise<Map<string, number>> {
  const rows = await inTenantAudit(ctx, (tx) =>
    tx.query<{ id: string; seq: number }>(
      `select resource_id as id, min(seq)::integer as seq from log_entries
        where resource_id = any($1) and action in ('session.create', 'api_key.create', 'scim_token.create', 'sign_in_link.create')
        group by resource_id`,
      [ids],
    ),
  );
  return new Map(rows.map(({ id, seq }) => [id, seq]));
}

function publicId({ kind, id }: CredentialRow): string {
  return idOf(CREDENTIAL_KINDS[kind].id, id);
}
