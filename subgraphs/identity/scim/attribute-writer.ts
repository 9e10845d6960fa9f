import type { TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import type { AttributeGroup } from './connection.ts';
import { exchangeOf } from './exchange.ts';

type Query = Pick<TenantTransaction, 'query'>;

/** The row of a person, so far as it says who writes it. */
interface OwnedRow {
  readonly id: string;
  /** The connection that she comes from. */
  readonly provisioned_by: string | null;
}

/** Returns the uuid of the connection that asks, or null for a person. */
export function clientUuid(ctx: RequestContext): string | null {
  const { connection } = exchangeOf(ctx);
  return connection === null ? null : uuidOf('con', connection.id);
}

/**
 * Passes where the client that asks is the one writer of the attributes that would change; MUTABILITY where another
 * connection provisions the person, or this one does not manage what would change.
 */
export function requireWriter(ctx: RequestContext, row: OwnedRow, changed: readonly string[]): void {
  const own = clientUuid(ctx);
  if (own !== null && row.provisioned_by !== null && row.provisioned_by !== own) {
    fail('MUTABILITY', 'another connection provisions the person', {
      hint: 'Another SCIM connection of the tenant provisions this person.',
    });
  }
  if (changed.includes('active')) requireManaged(ctx, 'active');
  if (changed.some((name) => name !== 'active')) requireManaged(ctx, 'profile');
}

/** Passes where the client that asks manages groups, and sign-in or people do not manage this one; else MUTABILITY. */
export function requireGroupWriter(ctx: RequestContext, managedBy: string): void {
  requireManaged(ctx, 'groups');
  if (managedBy === 'scim') return;
  const owner = managedBy === 'sso' ? 'the sign-ins of an identity provider' : 'people of the tenant';
  fail('MUTABILITY', `the group is managed by ${managedBy}`, { hint: `This group is managed by ${owner}.` });
}

/** Makes the client that asks the one that a person comes from, where nobody was. */
export async function takeOver(tx: Query, ctx: RequestContext, { id, provisioned_by: by }: OwnedRow): Promise<void> {
  const own = clientUuid(ctx);
  if (own === null || by !== null) return;
  await tx.query('update users set provisioned_by = $2 where id = $1 and provisioned_by is null', [id, own]);
}

/** Writes down, behind a change of `active`, whether it was the client that asks who ended the access of a person. */
export async function noteAccess(
  tx: Query,
  ctx: RequestContext,
  { id, active }: { id: string; active: boolean },
): Promise<void> {
  await tx.query('update users set deactivated_by = $2 where id = $1', [id, active ? null : clientUuid(ctx)]);
  if (!active) await noteEnd(tx, ctx, id);
}

/** Notes the end of access that the database has recorded in this transaction, for the request log. */
export async function noteEnd(tx: Query, ctx: RequestContext, id: string): Promise<void> {
  const [end] = await tx.query<{ id: string }>(
    'select id from revocations where subject_id = $1 and transaction_id = pg_current_xact_id() limit 1',
    [id],
  );
  exchangeOf(ctx).revocation = end?.id ?? null;
}

function requireManaged(ctx: RequestContext, group: AttributeGroup): void {
  const { connection } = exchangeOf(ctx);
  if (connection === null || connection.manages.includes(group)) return;
  fail('MUTABILITY', `the connection does not manage ${group}`, {
    hint: `This SCIM connection does not manage ${WORDS[group]}; the tenant's administrators do.`,
  });
}

const WORDS: Readonly<Record<AttributeGroup, string>> = {
  profile: 'the attributes of people',
  active: 'who may sign in',
  groups: 'groups',
};
