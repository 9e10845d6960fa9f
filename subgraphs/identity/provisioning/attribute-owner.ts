import type { TenantTransaction } from '#kit/database.ts';
import { fail } from '#schema/errors.ts';
import { idOf, type Id } from '#schema/ids.ts';
import type { AttributeGroup } from '../scim/connection.ts';

type Query = Pick<TenantTransaction, 'query'>;

/** The SCIM connection that a person comes from. */
export interface Client {
  readonly id: Id<'con'>;
  readonly name: string;
  readonly manages: readonly string[];
}

/** Returns the SCIM connection that a person comes from, or null. */
export async function clientOf(tx: Query, user: string): Promise<Client | null> {
  const [row] = await tx.query<{ id: string; name: string; manages: string[] }>(
    `select c.id, c.name, c.manages from users u join scim_connections c on c.id = u.provisioned_by where u.id = $1`,
    [user],
  );
  return row === undefined ? null : { ...row, id: idOf('con', row.id) };
}

/** Refuses with MUTABILITY what a SCIM connection manages of a person, naming the connection. */
export async function requireNoClient(tx: Query, user: string, group: AttributeGroup): Promise<void> {
  const client = await clientOf(tx, user);
  if (client === null || !client.manages.includes(group)) return;
  fail('MUTABILITY', `a SCIM connection manages ${group}`, {
    hint: `The SCIM connection "${client.name}" manages this; change it in the identity provider.`,
  });
}

/** Refuses with MUTABILITY to let somebody in again whom the SCIM connection that manages it has locked out. */
export async function requireNotEndedByClient(tx: Query, user: string): Promise<void> {
  const [row] = await tx.query(
    'select id from users where id = $1 and not active and deactivated_by = provisioned_by',
    [user],
  );
  if (row !== undefined) await requireNoClient(tx, user, 'active');
}
