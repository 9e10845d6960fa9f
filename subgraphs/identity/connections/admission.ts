import type { TenantTransaction } from '#kit/database.ts';
import { findTenantByDomain } from '#kit/directory.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf, mintId, uuidOf, type Id } from '#schema/ids.ts';
import { syncGroups } from './group-sync.ts';
import type { IdentityConnection } from './model.ts';
import { refuseSignIn, type RefusalReason } from './refusal.ts';

/** Somebody an identity provider vouches for, in an assertion that has passed every check of its protocol. */
export interface AssertedPerson {
  readonly connection: IdentityConnection;
  /** Her subject or NameID there; it never changes and is never given to another. */
  readonly subject: string;
  readonly email: string | null;
  /** Whether the identity provider has verified the address. */
  readonly emailVerified: boolean;
  readonly displayName: string | null;
  /** Her groups there; null where the assertion says nothing of groups. */
  readonly groups: readonly string[] | null;
}

const MAX_SUBJECT_LENGTH = 1024;
const MAX_EMAIL_LENGTH = 320;
const MAX_NAME_LENGTH = 200;

type Query = Pick<TenantTransaction, 'query'>;

/**
 * Returns whom of the tenant an assertion stands for: the person whom this subject was before; else the one of her
 * verified address, if its domain is one that the tenant has proven; else, where the connection allows it, a new person.
 * Somebody inactive stays inactive. Whoever gets no answer is refused with the reason. Her groups become those of the
 * assertion, so far as this connection manages them.
 */
export async function admitUser(tx: Query, ctx: RequestContext, person: AssertedPerson): Promise<Id<'usr'>> {
  if (person.subject.length === 0 || person.subject.length > MAX_SUBJECT_LENGTH)
    refuse(person, 'invalid_assertion', { rule: 'subject' });
  const user = (await findLinked(tx, ctx, person)) ?? (await linkByEmail(tx, ctx, person));
  if (person.connection.groupsAttribute !== null && person.groups !== null)
    await syncGroups(tx, ctx, { connection: person.connection, user, names: person.groups });
  return idOf('usr', user);
}

interface UserRow {
  readonly id: string;
  readonly active: boolean;
}

async function findLinked(tx: Query, ctx: RequestContext, person: AssertedPerson): Promise<string | null> {
  const [user] = await tx.query<UserRow>(
    `select u.id, u.active from identity_links l join users u on u.id = l.user_id
      where l.connection_id = $1 and l.subject = $2 for no key update of u`,
    [uuidOf('con', person.connection.id), person.subject],
  );
  if (user === undefined) return null;
  requireActive(person, user);
  await tx.query('update identity_links set last_used_at = $3 where connection_id = $1 and subject = $2', [
    uuidOf('con', person.connection.id),
    person.subject,
    ctx.clock(),
  ]);
  return user.id;
}

async function linkByEmail(tx: Query, ctx: RequestContext, person: AssertedPerson): Promise<string> {
  const email = await provenEmail(ctx, person);
  const user = (await findByEmail(tx, person, email)) ?? (await createPerson(tx, ctx, { person, email }));
  const [other] = await tx.query(
    `select 1 as known from identity_links where connection_id = $1 and user_id = $2 and subject <> $3`,
    [uuidOf('con', person.connection.id), user, person.subject],
  );
  // An address that went to a new colleague must not bring her the account of the one before.
  if (other !== undefined) refuse(person, 'other_subject', { user });
  const linked = await tx.query(
    `insert into identity_links (connection_id, subject, user_id, last_used_at) values ($1, $2, $3, $4)
     on conflict do nothing returning user_id`,
    [uuidOf('con', person.connection.id), person.subject, user, ctx.clock()],
  );
  // Another sign-in of hers was faster by a moment.
  if (linked.length === 0) return (await findLinked(tx, ctx, person)) ?? refuse(person, 'other_subject', { user });
  await appendAudit(tx, ctx, {
    action: 'identity.link',
    resource: { type: 'user', id: idOf('usr', user), name: null },
    context: { connection: person.connection.id },
  });
  return user;
}

/** The directory decides whose a domain is: its key lets one tenant have it. */
async function provenEmail(ctx: RequestContext, person: AssertedPerson): Promise<string> {
  const email = person.email?.trim() ?? '';
  if (email === '') return refuse(person, 'no_email');
  if (!person.emailVerified) return refuse(person, 'unverified_email');
  if (email.length > MAX_EMAIL_LENGTH || !/^[^@\s\p{Cc}]+@[^@\s\p{Cc}]+$/u.test(email))
    return refuse(person, 'invalid_assertion', { rule: 'email' });
  const place = await findTenantByDomain(ctx.databases, email.slice(email.lastIndexOf('@') + 1));
  return place?.id === ctx.tenant.tenant ? email : refuse(person, 'foreign_domain');
}

async function findByEmail(tx: Query, person: AssertedPerson, email: string): Promise<string | null> {
  const users = await tx.query<UserRow & { named: boolean }>(
    `select id, active, user_name_folded = lower($1) as named from users
      where user_name_folded = lower($1) or email_folded = lower($1)
      order by named desc, id limit 3 for no key update`,
    [email],
  );
  const [user, second] = users;
  if (user === undefined) return null;
  if (!user.named && second !== undefined) return refuse(person, 'ambiguous_person');
  requireActive(person, user);
  return user.id;
}

async function createPerson(
  tx: Query,
  ctx: RequestContext,
  { person, email }: { readonly person: AssertedPerson; readonly email: string },
): Promise<string> {
  const { connection } = person;
  if (!connection.jit) return refuse(person, 'unknown_person');
  const id = mintId('usr');
  const name = person.displayName
    ?.toWellFormed()
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim()
    .slice(0, MAX_NAME_LENGTH);
  const displayName = name === undefined || name === '' ? email : name.toWellFormed();
  const created = await tx.query(
    `insert into users (id, user_name, display_name, email, created_at, updated_at) values ($1, $2, $3, $2, $4, $4)
     on conflict do nothing returning id`,
    [uuidOf('usr', id), email, displayName, ctx.clock()],
  );
  if (created.length === 0) return (await findByEmail(tx, person, email)) ?? refuse(person, 'ambiguous_person');
  await appendAudit(tx, ctx, {
    action: 'user.create',
    resource: { type: 'user', id, name: displayName },
    context: { source: 'sso', connection: connection.id },
  });
  if (connection.defaultRoleId !== null) await grantDefaultRole(tx, ctx, { id, role: connection.defaultRoleId });
  return uuidOf('usr', id);
}

async function grantDefaultRole(
  tx: Query,
  ctx: RequestContext,
  { id, role }: { readonly id: Id<'usr'>; readonly role: Id<'rol'> },
): Promise<void> {
  const [granted] = await tx.query<{ name: string }>(
    `with granted as (insert into user_roles (user_id, role_id) values ($1, $2) returning role_id)
     select r.name from granted join roles r on r.id = granted.role_id`,
    [uuidOf('usr', id), uuidOf('rol', role)],
  );
  await appendAudit(tx, ctx, {
    action: 'role.grant',
    resource: { type: 'role', id: role, name: granted?.name ?? null },
    context: { user: id, source: 'sso' },
  });
}

function requireActive(person: AssertedPerson, { id, active }: UserRow): void {
  if (!active) refuse(person, 'inactive_person', { user: id });
}

function refuse(
  { connection }: AssertedPerson,
  reason: RefusalReason,
  { user, rule }: { readonly user?: string; readonly rule?: string } = {},
): never {
  return refuseSignIn({
    reason,
    connection,
    ...(rule === undefined ? {} : { context: { rule } }),
    ...(user === undefined ? {} : { userId: idOf('usr', user) }),
  });
}
