import { CREDENTIAL_KINDS, type CredentialKind } from '#kit/credential.ts';
import { inTenant, inTenantAudit } from '#kit/database.ts';
import { entriesHolding } from '#kit/held-entries.ts';
import { idOf } from '#schema/ids.ts';
import { fieldWord } from '#schema/search-words.ts';
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

const ISSUING = [
  'session.create',
  'api_key.create',
  'scim_token.create',
  'sign_in_link.create',
  'support.open_session',
];

/** The searchable copy has entries that are not sealed yet, too: what was issued a moment ago is no difference. */
async function issuingEntries({ ctx }: CollectionScope, ids: readonly string[]): Promise<Map<string, number>> {
  const groups = [ids.map((id) => [fieldWord('resource', id)]), ISSUING.map((name) => [fieldWord('action', name)])];
  const first = new Map<string, number>();
  await inTenantAudit(ctx, async (tx) => {
    const entries = entriesHolding<{ id: string; seq: number }>(tx, {
      words: { groups },
      select: 'resource_id as id, seq::integer as seq',
      where: 'resource_id = any($1) and action = any($2)',
      values: [ids, ISSUING],
    });
    for await (const rows of entries) {
      for (const { id, seq } of rows) first.set(id, Math.min(seq, first.get(id) ?? seq));
    }
  });
  return first;
}

function publicId({ kind, id }: CredentialRow): string {
  return idOf(CREDENTIAL_KINDS[kind].id, id);
}
