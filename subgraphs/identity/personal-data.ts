import { CREDENTIAL_KINDS, type CredentialKind } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { DataSubject, PersonalDataSet } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { idOf, uuidOrNull } from '#schema/ids.ts';
import { connectionPersonalData } from './connections/personal-data.ts';
import { revocationPersonalData } from './revocation/revocation-list.ts';
import { securityEventPersonalData } from './security-events/personal-data.ts';
import { sessionPersonalData } from './sessions/personal-data.ts';
import { signInPersonalData } from './sign-in/personal-data.ts';

/** Returns what identity holds of a person: her account with all attributes, her groups, roles, sessions and keys. */
export async function collectPersonalData(ctx: RequestContext, { userId }: DataSubject): Promise<PersonalDataSet[]> {
  // Of a text that is no id there is nothing: null equals no row.
  const user = uuidOrNull('usr', userId);
  return inTenant(ctx, async (tx) => {
    const credentials = await credentialRows(tx, user);
    return [
      { store: 'identity.users', rows: await userRows(tx, user) },
      { store: 'identity.groupMemberships', rows: await membershipRows(tx, user) },
      { store: 'identity.roleGrants', rows: await grantRows(tx, user) },
      await sessionPersonalData(tx, user),
      { store: 'identity.credentials', rows: credentials.filter(({ purpose }) => purpose !== 'session') },
      ...(await signInPersonalData(tx, user)),
      ...(await connectionPersonalData(tx, user)),
      ...(await securityEventPersonalData(tx, user)),
      await revocationPersonalData(tx, user),
    ];
  });
}

type Query = Pick<TenantTransaction, 'query'>;
type PersonalRow = PersonalDataSet['rows'][number];

interface UserRow {
  readonly id: string;
  readonly user_name: string;
  readonly external_id: string | null;
  readonly display_name: string | null;
  readonly email: string | null;
  readonly active: boolean;
  readonly resource: { readonly [name: string]: JsonValue };
  readonly created_at: Date;
  readonly updated_at: Date;
}

async function userRows(tx: Query, user: string | null): Promise<PersonalRow[]> {
  const rows = await tx.query<UserRow>(
    'select id, user_name, external_id, display_name, email, active, resource, created_at, updated_at from users where id = $1',
    [user],
  );
  return rows.map((row) => ({
    id: idOf('usr', row.id),
    userName: row.user_name,
    externalId: row.external_id,
    displayName: row.display_name,
    email: row.email,
    active: row.active,
    attributes: row.resource,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  }));
}

async function membershipRows(tx: Query, user: string | null): Promise<PersonalRow[]> {
  const rows = await tx.query<{ id: string; display_name: string }>(
    'select g.id, g.display_name from group_members m join groups g on g.id = m.group_id where m.user_id = $1 order by g.id',
    [user],
  );
  return rows.map((row) => ({ group: idOf('grp', row.id), displayName: row.display_name }));
}

async function grantRows(tx: Query, user: string | null): Promise<PersonalRow[]> {
  const rows = await tx.query<{ id: string; name: string; granted_at: Date }>(
    'select r.id, r.name, ur.granted_at from user_roles ur join roles r on r.id = ur.role_id where ur.user_id = $1 order by r.id',
    [user],
  );
  return rows.map((row) => ({ role: idOf('rol', row.id), name: row.name, grantedAt: row.granted_at.toISOString() }));
}

interface CredentialRow {
  readonly id: string;
  readonly kind: CredentialKind;
  readonly name: string;
  readonly client: string | null;
  readonly scopes: string[];
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
}

/** Used-up and revoked ones too; the hash of a secret is no datum about her and stays inside. */
async function credentialRows(tx: Query, user: string | null): Promise<PersonalRow[]> {
  const rows = await tx.query<CredentialRow>(
    'select id, kind, name, client, scopes, created_at, expires_at, revoked_at from credentials where user_id = $1 order by id',
    [user],
  );
  return rows.map((row) => ({
    id: idOf(CREDENTIAL_KINDS[row.kind].id, row.id),
    purpose: row.kind,
    name: row.name,
    client: row.client,
    scopes: row.scopes,
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at.toISOString(),
    revokedAt: row.revoked_at?.toISOString() ?? null,
  }));
}
