import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { outgoingFetch } from '#kit/outgoing-http.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail, TenonError } from '#schema/errors.ts';
import { isId, mintId, uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import { heldScopes } from '../access/roles.ts';
import { requireConnection, sealConnectionSecret } from '../connections/connection.ts';
import { ConnectionKind, ConnectionState, type IdentityConnection } from '../connections/model.ts';
import { auditConnection, requireAllRights } from '../connections/service.ts';
import { Role } from '../model.ts';
import { readCertificate } from './certificates.ts';
import { changedSettings, NEW_SETTINGS, storedOnce } from './changed-settings.ts';
import { readIdpMetadata, type IdpMetadata } from './idp-metadata.ts';
import type {
  AddSamlCertificateInput,
  CreateSamlConnectionInput,
  RemoveSamlCertificateInput,
  UpdateSamlConnectionInput,
} from './inputs.ts';
import { newServiceKey, servicePrivateKeys } from './service-provider.ts';
import { certificatesOf, checkSettings, samlSettings, type SamlSettings } from './settings.ts';

/**
 * Makes a draft with a key of our own. What the identity provider is called, where it is and what it signs with come from
 * its metadata, or one by one (BAD_USER_INPUT where something is missing or cannot be read).
 */
export async function createSamlConnection(
  ctx: RequestContext,
  input: CreateSamlConnectionInput,
): Promise<IdentityConnection> {
  const metadata = await metadataOf(ctx, input);
  const id = mintId('con');
  const key = await newServiceKey(id, ctx.clock());
  const certificates = [...(metadata?.certificates ?? []), ...(input.certificates ?? []).map(readCertificate)];
  if (certificates.length === 0) fail('BAD_USER_INPUT', 'no certificate', { hint: 'A signing certificate is needed.' });
  const given = { ...NEW_SETTINGS, serviceCertificates: [key.certificate], certificates: storedOnce(certificates) };
  const settings = changedSettings(ctx, given, { input, metadata });
  return inTenant(ctx, async (tx) => {
    await requireRoom(tx);
    await tx.query(
      `insert into identity_connections (id, kind, name, settings, secret, jit, default_role_id, groups_attribute, created_at, updated_at)
       values ($1, 'saml', $2, $3, $4, $5, $6, $7, $8, $8)`,
      [
        uuidOf('con', id),
        input.name,
        JSON.stringify(checkSettings({ ...settings, certificates: given.certificates })),
        sealConnectionSecret(ctx, id, JSON.stringify([key.privateKey])),
        input.jit ?? false,
        await grantableRole(tx, ctx, input.defaultRoleId),
        input.groupsAttribute ?? null,
        ctx.clock(),
      ],
    );
    const context = { jit: input.jit ?? false, entity_id: settings.idpEntityId };
    return audited(tx, ctx, { id, action: 'identity_connection.create', context });
  });
}

/**
 * Changes what is given. An active connection can bring in anybody of the tenant, so whoever changes it must hold all that
 * anybody holds (FORBIDDEN). The subjects of another identity provider are other people, so with another entity id all
 * links are forgotten.
 */
export async function updateSamlConnection(
  ctx: RequestContext,
  input: UpdateSamlConnectionInput,
): Promise<IdentityConnection> {
  const metadata = await metadataOf(ctx, input);
  const { connectionId, ...given } = input;
  const fields = Object.keys(given).filter((field) => given[field as keyof typeof given] !== undefined);
  return changeConnection(ctx, connectionId, async (tx, connection) => {
    const settings = changedSettings(ctx, samlSettings(connection.settings), { input, metadata });
    const role = input.defaultRoleId === undefined ? undefined : await grantableRole(tx, ctx, input.defaultRoleId);
    const isOther = settings.idpEntityId !== samlSettings(connection.settings).idpEntityId;
    if (isOther) await tx.query('delete from identity_links where connection_id = $1', [uuidOf('con', connection.id)]);
    await tx.query(
      `update identity_connections set name = coalesce($2, name), jit = coalesce($3, jit),
         default_role_id = case when $4 then $5::uuid else default_role_id end,
         groups_attribute = case when $6 then $7 else groups_attribute end where id = $1`,
      [
        uuidOf('con', connection.id),
        input.name ?? null,
        input.jit ?? null,
        role !== undefined,
        role ?? null,
        input.groupsAttribute !== undefined,
        input.groupsAttribute ?? null,
      ],
    );
    return { settings, action: 'identity_connection.update', context: { changed: fields, links_forgotten: isOther } };
  });
}

/** Takes over the metadata at the address of the connection; those of another identity provider are BAD_USER_INPUT. */
export async function refreshMetadata(ctx: RequestContext, id: string): Promise<IdentityConnection> {
  const named = await inTenant(ctx, async (tx) => {
    const known = await requireSaml(tx, id);
    await requireRights(tx, ctx, known);
    return known;
  });
  const { metadataUrl, idpEntityId } = samlSettings(named.settings);
  if (metadataUrl === null)
    return fail('BAD_USER_INPUT', 'no address', { hint: 'The connection has no address of metadata.' });
  const metadata = await fetchMetadata(ctx, metadataUrl);
  if (metadata.idpEntityId !== idpEntityId)
    fail('BAD_USER_INPUT', 'another entity id', { hint: 'The metadata there are those of another identity provider.' });
  return changeConnection(ctx, id, async (_tx, connection) => ({
    settings: changedSettings(ctx, samlSettings(connection.settings), { input: { metadataUrl }, metadata }),
    action: 'identity_connection.refresh_metadata',
    context: { fingerprints: metadata.certificates.map(({ fingerprint }) => fingerprint) },
  }));
}

/** Adds a certificate of the identity provider beside those there are. */
export async function addCertificate(ctx: RequestContext, input: AddSamlCertificateInput): Promise<IdentityConnection> {
  const { pem, fingerprint } = readCertificate(input.certificate);
  return changeConnection(ctx, input.connectionId, async (tx, connection) => {
    const settings = samlSettings(connection.settings);
    const known = certificatesOf(settings).some((certificate) => certificate.fingerprint === fingerprint);
    if (known) {
      await appendUnchanged(tx, ctx, 'saml_certificate.add');
      return null;
    }
    const certificates = [...settings.certificates, { pem, warnedAt: null }];
    return { settings: { ...settings, certificates }, action: 'saml_certificate.add', context: { fingerprint } };
  });
}

/** Removes a certificate (NOT_FOUND where the connection has none of that fingerprint); the last one stays (CONFLICT). */
export async function removeCertificate(
  ctx: RequestContext,
  input: RemoveSamlCertificateInput,
): Promise<IdentityConnection> {
  const { connectionId, fingerprint } = input;
  return changeConnection(ctx, connectionId, async (_tx, connection) => {
    const settings = samlSettings(connection.settings);
    const certificates = certificatesOf(settings)
      .filter((certificate) => certificate.fingerprint !== fingerprint)
      .map(({ pem, warnedAt }) => ({ pem, warnedAt }));
    if (certificates.length === settings.certificates.length) fail('NOT_FOUND', 'no such certificate');
    if (certificates.length === 0) fail('CONFLICT', 'the last certificate', { hint: 'Add its successor first.' });
    return { settings: { ...settings, certificates }, action: 'saml_certificate.remove', context: { fingerprint } };
  });
}

/** Makes a new key of ours; the one before is kept to read with, the one before that is gone. */
export async function rotateServiceKey(ctx: RequestContext, id: string): Promise<IdentityConnection> {
  const key = await newServiceKey(id, ctx.clock());
  return changeConnection(ctx, id, async (tx, connection) => {
    const settings = samlSettings(connection.settings);
    const keys = [key.privateKey, ...servicePrivateKeys(ctx, connection).slice(0, 1)];
    await tx.query('update identity_connections set secret = $2 where id = $1', [
      uuidOf('con', connection.id),
      sealConnectionSecret(ctx, connection.id, JSON.stringify(keys)),
    ]);
    const serviceCertificates = [key.certificate, ...settings.serviceCertificates.slice(0, 1)];
    return { settings: { ...settings, serviceCertificates }, action: 'saml_service_key.rotate', context: {} };
  });
}

const MAX_CONNECTIONS = 50;

async function metadataOf(
  ctx: RequestContext,
  { metadataXml, metadataUrl }: Pick<UpdateSamlConnectionInput, 'metadataXml' | 'metadataUrl'>,
): Promise<IdpMetadata | null> {
  if (typeof metadataXml === 'string') return readIdpMetadata(metadataXml);
  return typeof metadataUrl === 'string' ? fetchMetadata(ctx, metadataUrl) : null;
}

/** Reads the metadata at an address; what cannot be had or read there is BAD_USER_INPUT. */
export async function fetchMetadata(ctx: RequestContext, url: string): Promise<IdpMetadata> {
  const answer = await outgoingFetch(ctx.platform, url, {
    headers: { accept: 'application/samlmetadata+xml, text/xml' },
  });
  if (answer.status !== 200)
    throw new TenonError('BAD_USER_INPUT', `metadata answered ${answer.status}`, {
      hint: `The address of the metadata answered with status ${answer.status}.`,
    });
  return readIdpMetadata(await answer.text());
}

interface Change {
  readonly settings: SamlSettings;
  readonly action: string;
  readonly context: Record<string, string | boolean | string[]>;
}

/** The row is locked from the reading to the writing, so that two changes at once are both kept; null changes nothing. */
async function changeConnection(
  ctx: RequestContext,
  id: string,
  work: (tx: TenantTransaction, connection: IdentityConnection) => Promise<Change | null>,
): Promise<IdentityConnection> {
  return inTenant(ctx, async (tx) => {
    await tx.query('select id from identity_connections where id = $1 for no key update', [uuidOrNull('con', id)]);
    const connection = await requireSaml(tx, id);
    await requireRights(tx, ctx, connection);
    const change = await work(tx, connection);
    if (change === null) return connection;
    await tx.query(
      'update identity_connections set settings = $2, version = version + 1, updated_at = $3 where id = $1',
      [uuidOf('con', connection.id), JSON.stringify(checkSettings(change.settings)), ctx.clock()],
    );
    return audited(tx, ctx, { id: connection.id, action: change.action, context: change.context });
  });
}

/** What is active may bring in anybody. */
async function requireRights(tx: TenantTransaction, ctx: RequestContext, { state }: IdentityConnection): Promise<void> {
  if (state === ConnectionState.ACTIVE) await requireAllRights(tx, ctx);
}

async function audited(
  tx: TenantTransaction,
  ctx: RequestContext,
  { id, action, context }: { readonly id: Id<'con'>; readonly action: string; readonly context: Change['context'] },
): Promise<IdentityConnection> {
  const connection = await requireConnection(tx, id);
  await auditConnection(tx, ctx, { action, connection, context });
  return connection;
}

/** A connection of another kind looks like none: what it is asked for, it does not have. */
async function requireSaml(tx: Pick<TenantTransaction, 'manager'>, id: string): Promise<IdentityConnection> {
  const connection = await requireConnection(tx, id);
  return connection.kind === ConnectionKind.SAML ? connection : fail('NOT_FOUND', 'a connection of another kind');
}

/** Nobody has others given a role with rights that she does not hold herself. */
async function grantableRole(
  tx: Pick<TenantTransaction, 'manager'>,
  ctx: RequestContext,
  id: string | null | undefined,
): Promise<string | null> {
  if (id === null || id === undefined) return null;
  const role = isId('rol', id) ? await tx.manager.findOneBy(Role, { id }) : null;
  if (role === null) return fail('NOT_FOUND', 'no such role in this tenant');
  heldScopes(ctx, role.scopes);
  return uuidOf('rol', id);
}

async function requireRoom(tx: Pick<TenantTransaction, 'query'>): Promise<void> {
  const known = await tx.query('select id from identity_connections');
  if (known.length >= MAX_CONNECTIONS)
    fail('TOO_MANY', 'too many connections', { hint: `A tenant has at most ${MAX_CONNECTIONS} connections.` });
}
