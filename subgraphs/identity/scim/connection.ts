import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import { isScimProfile, type ScimProfile } from './profiles.ts';

/** Attributes of a person that have one writer together. */
export const ATTRIBUTE_GROUPS = ['profile', 'active', 'groups'] as const;

/** The name of such attributes. */
export type AttributeGroup = (typeof ATTRIBUTE_GROUPS)[number];

/** A provisioning client of the tenant. */
export interface ScimConnection {
  readonly id: Id<'con'>;
  readonly name: string;
  readonly profile: ScimProfile;
  readonly state: 'active' | 'disabled';
  /** The one of tokens that name none. */
  readonly isDefault: boolean;
  /** What it alone writes of its people. */
  readonly manages: readonly AttributeGroup[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly version: number;
}

type Query = Pick<TenantTransaction, 'query'>;

const COLUMNS = 'c.id, c.name, c.profile, c.state, c.is_default, c.manages, c.created_at, c.updated_at, c.version';

/**
 * Returns the connection of the token that a request came with: that of the token, or the tenant's default one, which is
 * made when it is first needed. Null for a person.
 */
export async function connectionOfToken(ctx: RequestContext): Promise<ScimConnection | null> {
  const token = uuidOrNull('scm', ctx.tenant.actor.id ?? '');
  if (ctx.tenant.actor.type !== 'scim' || token === null) return null;
  const known = await inTenantOnce(ctx, (tx) =>
    readRows(
      tx,
      `from credentials t join scim_connections c on c.id = t.scim_connection_id or (t.scim_connection_id is null and c.is_default) where t.id = $1`,
      [token],
    ),
  );
  return known[0] ?? (await inTenant(ctx, defaultConnection));
}

/** Returns the tenant's default connection, made in this transaction where there is none; it takes what Entra sends. */
export async function defaultConnection(tx: Query): Promise<ScimConnection> {
  await tx.query(
    `insert into scim_connections (id, name, profile, is_default) values ($1, 'Default', 'entra', true) on conflict do nothing`,
    [uuidOf('con', mintId('con'))],
  );
  const [made] = await readRows(tx, 'from scim_connections c where c.is_default', []);
  return (
    made ??
    fail('CONFLICT', 'a connection has the name of the default one', {
      hint: 'Another connection is called "Default"; rename it.',
    })
  );
}

/** Returns the tenant's connections, oldest first. */
export async function readConnections(tx: Query): Promise<ScimConnection[]> {
  return readRows(tx, 'from scim_connections c order by c.created_at, c.id limit 50', []);
}

/** Returns a connection, or null where the tenant has none of that id. */
export async function findConnection(tx: Query, id: string): Promise<ScimConnection | null> {
  const uuid = uuidOrNull('con', id);
  if (uuid === null) return null;
  return (await readRows(tx, 'from scim_connections c where c.id = $1', [uuid]))[0] ?? null;
}

/** Returns a connection, its row locked until the end of the transaction; none of that id is NOT_FOUND. */
export async function lockConnection(tx: Query, id: string): Promise<ScimConnection> {
  const [row] = await readRows(tx, 'from scim_connections c where c.id = $1 for no key update', [uuidOf('con', id)]);
  return row ?? fail('NOT_FOUND', 'no such SCIM connection in this tenant');
}

interface ConnectionRow {
  readonly id: string;
  readonly name: string;
  readonly profile: string;
  readonly state: string;
  readonly is_default: boolean;
  readonly manages: string[];
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly version: number;
}

async function readRows(tx: Query, source: string, values: readonly unknown[]): Promise<ScimConnection[]> {
  return (await tx.query<ConnectionRow>(`select ${COLUMNS} ${source}`, values)).map(connectionIn);
}

function connectionIn(row: ConnectionRow): ScimConnection {
  const { profile } = row;
  if (!isScimProfile(profile)) throw new Error('the table holds profiles alone');
  return {
    id: idOf('con', row.id),
    name: row.name,
    profile,
    state: row.state === 'active' ? 'active' : 'disabled',
    isDefault: row.is_default,
    manages: ATTRIBUTE_GROUPS.filter((group) => row.manages.includes(group)),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    version: row.version,
  };
}
