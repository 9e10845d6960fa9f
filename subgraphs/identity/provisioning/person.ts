import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import type { User } from '../model.ts';
import { ATTRIBUTE_GROUPS } from '../scim/connection.ts';
import { requireUser } from '../service.ts';
import { clientOf, requireNoClient } from './attribute-owner.ts';
import type { UpdateUserInput } from './inputs.ts';
import type { AccessChange, AttributeOwner } from './model.ts';
import { readAccessRequests } from './request-page.ts';

/** Moments of access that are shown of one person. */
const MAX_CHANGES = 50;

/**
 * Changes names and address of a person; a userName that is taken is UNIQUENESS. Attributes have one writer: those of
 * somebody whom a SCIM connection provisions and manages are MUTABILITY, naming it.
 */
export async function updateUser(ctx: RequestContext, input: UpdateUserInput): Promise<User> {
  const uuid = uuidOf('usr', input.userId);
  return inTenant(ctx, async (tx) => {
    await tx.query('select id from users where id = $1 for update', [uuid]);
    const user = await requireUser(tx, input.userId);
    await requireNoClient(tx, uuid, 'profile');
    const next = {
      userName: input.userName ?? user.userName,
      displayName: input.displayName ?? user.displayName,
      email: input.email ?? user.email,
    };
    const attributes = (['userName', 'displayName', 'email'] as const).filter((name) => next[name] !== user[name]);
    if (attributes.length === 0) return user;
    await tx.query(
      `update users set user_name = $2, display_name = $3, email = $4, resource = $5, version = version + 1, updated_at = $6
        where id = $1`,
      [uuid, next.userName, next.displayName, next.email, JSON.stringify(withAddress(user, next.email)), ctx.clock()],
    );
    await appendAudit(tx, ctx, {
      action: 'user.update',
      resource: { type: 'user', id: input.userId, name: next.displayName },
      context: { source: 'graphql', attributes },
    });
    return requireUser(tx, input.userId);
  });
}

/** Returns who writes the attributes of a person. */
export async function attributeOwners(ctx: RequestContext, user: User): Promise<AttributeOwner[]> {
  const uuid = uuidOf('usr', user.id);
  const [client, signedIn] = await inTenant(ctx, async (tx) => [
    await clientOf(tx, uuid),
    await isInSignInGroup(tx, uuid),
  ]);
  return ATTRIBUTE_GROUPS.map((attributes) => {
    const isManaged = client?.manages.includes(attributes) === true;
    const writer = attributes === 'groups' && signedIn ? 'sso' : 'person';
    return isManaged
      ? { attributes, writer: 'scim', connectionId: client.id }
      : { attributes, writer, connectionId: null };
  });
}

/**
 * Returns the moments at which the access of a person ended or came back, newest first; at most 50. Ends are those that
 * the database wrote down with the change itself; a request of a SCIM client stands beside what it brought about as
 * long as the log of its connection holds it.
 */
export async function accessHistory(ctx: RequestContext, user: User): Promise<AccessChange[]> {
  const uuid = uuidOf('usr', user.id);
  return inTenant(ctx, async (tx) => {
    const requests = await readAccessRequests(tx, user.id, MAX_CHANGES);
    const ends = await tx.query<EndRow>(
      `select id, reason, revoked_at, enforced_at from revocations where subject_type = 'user' and subject_id = $1
        order by revoked_at desc limit $2`,
      [uuid, MAX_CHANGES],
    );
    return mergedChanges(requests, ends);
  });
}

async function isInSignInGroup(tx: Pick<TenantTransaction, 'query'>, user: string): Promise<boolean> {
  const rows = await tx.query(
    `select g.id from group_members m join groups g on g.id = m.group_id where m.user_id = $1 and g.managed_by = 'sso' limit 1`,
    [user],
  );
  return rows.length > 0;
}

/** The document of a person holds her addresses where a client sent any; the one that counts is changed in it. */
function withAddress({ resource, email }: User, next: string | null): Record<string, unknown> {
  const { emails } = resource;
  if (!Array.isArray(emails) || next === email) return resource;
  const isMain = (element: unknown) =>
    typeof element === 'object' && element !== null && 'value' in element && element.value === email;
  const main = emails.findIndex(isMain);
  return {
    ...resource,
    emails: main < 0 ? emails : emails.with(main, { ...emails[main], value: next }),
  };
}

interface EndRow {
  readonly id: string;
  readonly reason: string;
  readonly revoked_at: Date;
  readonly enforced_at: Date | null;
}

const ACTIONS: Readonly<Record<string, string>> = {
  deactivated: 'user.deactivate',
  deleted: 'user.delete',
  signed_out: 'user.sign_out',
};

type AccessRequests = Awaited<ReturnType<typeof readAccessRequests>>;

function mergedChanges(requests: AccessRequests, ends: readonly EndRow[]): AccessChange[] {
  const byRequest = requests.map(({ request, connection, revocation }): AccessChange => {
    const action = request.actions.find((name) => name !== 'user.update') ?? '';
    const enforcedAt = ends.find(({ id }) => id === revocation)?.enforced_at ?? null;
    return { at: request.at, action, connectionId: idOf('con', connection), request, enforcedAt };
  });
  const known = new Set(requests.map(({ revocation }) => revocation));
  const others = ends
    .filter(({ id }) => !known.has(id))
    .map((end): AccessChange => {
      const action = ACTIONS[end.reason] ?? end.reason;
      return { at: end.revoked_at, action, connectionId: null, request: null, enforcedAt: end.enforced_at };
    });
  return [...byRequest, ...others]
    .toSorted((left, right) => right.at.getTime() - left.at.getTime())
    .slice(0, MAX_CHANGES);
}
