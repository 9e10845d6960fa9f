import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { ConnectionKind, ConnectionState, IdentityConnection } from '../connections/model.ts';
import { auditConnection } from '../connections/service.ts';
import { warnOfExpiry } from '../saml/certificate-warning.ts';
import { changedSettings } from '../saml/changed-settings.ts';
import type { IdpMetadata } from '../saml/idp-metadata.ts';
import { fetchMetadata } from '../saml/service.ts';
import { certificatesOf, checkSettings, samlSettings, type SamlSettings } from '../saml/settings.ts';

/** Metadata are taken over at most this often. */
const EVERY_MS = 24 * 3_600_000;

/** Returns the active SAML connections of a tenant, used or not. */
export async function samlConnections(ctx: RequestContext): Promise<IdentityConnection[]> {
  return inTenant(ctx, ({ manager }) =>
    manager.findBy(IdentityConnection, { kind: ConnectionKind.SAML, state: ConnectionState.ACTIVE }),
  );
}

/** Tells whether a connection has an address of metadata that was last read a day ago or longer. */
export function isRefreshDue(ctx: RequestContext, { settings }: IdentityConnection): boolean {
  const { metadataUrl, refreshedAt } = samlSettings(settings);
  const ageMs = ctx.clock().getTime() - Date.parse(refreshedAt ?? '1970-01-01');
  return metadataUrl !== null && ageMs >= EVERY_MS;
}

/**
 * Takes over the metadata at the address of a connection as `refreshSamlMetadata` does, in the right of whoever named it.
 * Those of another identity provider are BAD_USER_INPUT. Where they say what they said, no audit event is written.
 */
export async function refreshConnection(ctx: RequestContext, connection: IdentityConnection): Promise<void> {
  const { metadataUrl, idpEntityId } = samlSettings(connection.settings);
  if (metadataUrl === null) return;
  const metadata = await fetchMetadata(ctx, metadataUrl);
  if (metadata.idpEntityId !== idpEntityId) fail('BAD_USER_INPUT', 'metadata of another identity provider');
  await inTenant(ctx, async (tx) => {
    const current = await lockActive(tx, connection.id);
    if (current === null) return;
    const before = samlSettings(current.settings);
    // Somebody named another address, or another identity provider, while it was asked.
    if (before.metadataUrl !== metadataUrl || before.idpEntityId !== idpEntityId) return;
    await takeOver(tx, ctx, { connection: current, before, metadata });
  });
}

/** Warns of the certificates of a connection that end soon, as a sign-in over it does, once a day. */
export async function warnOfConnection(ctx: RequestContext, { id }: IdentityConnection): Promise<void> {
  await inTenant(ctx, async (tx) => {
    const current = await findActive(tx, id);
    if (current !== null) await warnOfExpiry(tx, ctx, current);
  });
}

interface TakeOver {
  readonly connection: IdentityConnection;
  readonly before: SamlSettings;
  readonly metadata: IdpMetadata;
}

async function takeOver(
  tx: TenantTransaction,
  ctx: RequestContext,
  { connection, before, metadata }: TakeOver,
): Promise<void> {
  const { metadataUrl } = before;
  const after = checkSettings(changedSettings(ctx, before, { input: { metadataUrl }, metadata }));
  const isChanged = after.ssoUrl !== before.ssoUrl || pemsOf(after) !== pemsOf(before);
  await tx.query(
    `update identity_connections set settings = $2, version = version + case when $3 then 1 else 0 end,
            updated_at = case when $3 then $4 else updated_at end where id = $1`,
    [uuidOf('con', connection.id), JSON.stringify(after), isChanged, ctx.clock()],
  );
  if (!isChanged) return;
  const fingerprints = certificatesOf(after).map(({ fingerprint }) => fingerprint);
  await auditConnection(tx, ctx, {
    action: 'identity_connection.refresh_metadata',
    connection,
    context: { fingerprints },
  });
}

function pemsOf({ certificates }: SamlSettings): string {
  return certificates
    .map(({ pem }) => pem)
    .toSorted()
    .join('');
}

async function lockActive(tx: TenantTransaction, id: Id<'con'>): Promise<IdentityConnection | null> {
  await tx.query('select id from identity_connections where id = $1 for no key update', [uuidOf('con', id)]);
  return findActive(tx, id);
}

async function findActive({ manager }: TenantTransaction, id: Id<'con'>): Promise<IdentityConnection | null> {
  return manager.findOneBy(IdentityConnection, { id, kind: ConnectionKind.SAML, state: ConnectionState.ACTIVE });
}
