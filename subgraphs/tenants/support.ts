import { pageOf, pageRequest, uuidAfter, type Connection } from '#kit/connection.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { findTenant } from '#kit/directory.ts';
import { appendAudit, recordAudit, type AuditNote } from '#kit/outbox.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { endSupportToken, issueSupportToken } from '#kit/support-credential.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import { SUPPORT_REQUEST_DAYS, SUPPORT_SCOPES, SUPPORT_TOKEN_MINUTES } from '#schema/support-access.ts';
import { askForNotice } from './life-notices.ts';
import { contextIn, OPERATOR_SLUG } from './operator.ts';
import type { RequestSupportInput, SupportGrant, SupportGrantArgs, TenantSupportInput } from './support-model.ts';

/** Requests of all operators that may wait for one tenant's word. */
const MOST_PENDING = 20;

/** Returns a page of the tenant's grants, newest first: asked for, given, refused and over. */
export async function listSupportGrants(
  ctx: RequestContext,
  args: SupportGrantArgs,
): Promise<Connection<SupportGrant>> {
  const request = pageRequest(args);
  const after = uuidAfter(request, 'sup');
  const rows = await inTenant(ctx, (tx) =>
    tx.query<GrantRow>(
      `select * from (select ${COLUMNS} from support_grants) g
        where ($1::uuid is null or id < $1) and ($2::text is null or state = $2) order by id desc limit $3`,
      [after, args.state ?? null, request.limit],
    ),
  );
  return pageOf(rows.map(grantOf), request);
}

/** Returns the same of a tenant, for an operator; an unknown tenant is NOT_FOUND. */
export async function listTenantSupport(
  ctx: RequestContext,
  { tenantId, ...args }: SupportGrantArgs & { readonly tenantId: string },
): Promise<Connection<SupportGrant>> {
  return listSupportGrants((await targetOf(ctx, tenantId)).target, args);
}

/**
 * Asks a tenant to let the operator in. Request, mail to her administrators and event are one transaction in her cell; the
 * operators' own log gets the event after it. Twenty requests that wait are CONFLICT, the operators' own tenant and an
 * unknown one NOT_FOUND.
 */
export async function requestSupport(
  ctx: RequestContext,
  { tenantId, reason, ticket, access, personalData, minutes }: RequestSupportInput,
): Promise<SupportGrant> {
  const id = mintId('sup');
  const { target } = await targetOf(ctx, tenantId, id);
  const note: AuditNote = {
    action: 'support.request',
    resource: resourceOf(id),
    context: { access, personal_data: personalData, minutes, ticket, reason },
  };
  const grant = await inTenant(target, async (tx) => {
    await requireRoom(tx);
    await tx.query(
      `insert into support_grants (id, operator, reason, ticket, access, personal_data, minutes)
       values ($1, $2, $3, $4, $5, $6, $7)`,
      [uuidOf('sup', id), ctx.tenant.actor.id, reason, ticket, access, personalData, minutes],
    );
    const asked = await readGrant(tx, id);
    await askForNotice(tx, target, { notice: 'request_support', about: asked.requestedAt });
    await appendAudit(tx, target, note);
    return asked;
  });
  await recordAudit(ctx, note);
  return grant;
}

/**
 * Decides on a request, once; from an approval on the operator is let in for the minutes that she asked for. A request that
 * was decided on before or has lapsed is CONFLICT, an unknown one NOT_FOUND.
 */
export async function decideSupport(
  ctx: RequestContext,
  { id, approved }: { readonly id: string; readonly approved: boolean },
): Promise<SupportGrant> {
  return inTenant(ctx, async (tx) => {
    const before = await lockGrant(tx, id);
    requireState(before, 'pending');
    await tx.query(
      `update support_grants set decided_at = now(), decided_by = $2, approved = $3,
              expires_at = case when $3 then now() + make_interval(mins => minutes) end where id = $1`,
      [uuidOf('sup', before.id), ctx.tenant.actor.id, approved],
    );
    const grant = await readGrant(tx, before.id);
    const { access, personalData, minutes, ticket, operator, expiresAt } = grant;
    await appendAudit(tx, ctx, {
      action: approved ? 'support.approve' : 'support.deny',
      resource: resourceOf(before.id),
      context: {
        access,
        personal_data: personalData,
        minutes,
        ticket,
        operator,
        ...(expiresAt === null ? {} : { expires_at: expiresAt.toISOString() }),
      },
    });
    return grant;
  });
}

/** Ends an access of the tenant before its time, in every gateway within a second; one that is not active is CONFLICT. */
export async function revokeSupport(ctx: RequestContext, id: string): Promise<SupportGrant> {
  return inTenant(ctx, (tx) => endGrant(tx, ctx, { id, by: 'tenant' }));
}

/** Gives the operator's own access back before its time; one that is not active is CONFLICT, another operator's NOT_FOUND. */
export async function endSupport(ctx: RequestContext, { tenantId, id }: TenantSupportInput): Promise<SupportGrant> {
  const { target } = await targetOf(ctx, tenantId, idOrNull(id));
  return inTenant(target, async (tx) => {
    requireOwn(ctx, await lockGrant(tx, id));
    return endGrant(tx, target, { id, by: 'operator' });
  });
}

/**
 * Returns a token that acts in the tenant, for the operator whom she let in: it is good for half an hour, and never longer
 * than the access. The first one of a grant is told to her administrators by mail. A grant that is not active is CONFLICT,
 * another operator's NOT_FOUND.
 */
export async function openSupportSession(
  ctx: RequestContext,
  { tenantId, id }: TenantSupportInput,
): Promise<{ grant: SupportGrant; token: string; expiresAt: Date }> {
  const { target, tenant } = await targetOf(ctx, tenantId, idOrNull(id));
  const { note, ...opened } = await inTenant(target, async (tx) => {
    const before = await lockGrant(tx, id);
    requireOwn(ctx, before);
    requireState(before, 'active');
    const [row] = await tx.query<{ expires_at: Date }>(
      `update support_grants set last_session_at = now() where id = $1
       returning least(expires_at, now() + make_interval(mins => $2)) as expires_at`,
      [uuidOf('sup', before.id), SUPPORT_TOKEN_MINUTES],
    );
    const expiresAt = row?.expires_at ?? fail('INTERNAL_SERVER_ERROR', 'the grant is locked and has to be there');
    const scopes = SUPPORT_SCOPES[before.access];
    const token = await issueSupportToken(tx, tenant, { grant: before.id, scopes, expiresAt });
    await askForNotice(tx, target, { notice: 'use_support', about: before.decidedAt ?? expiresAt });
    const said: AuditNote = {
      action: 'support.open_session',
      resource: resourceOf(before.id),
      context: { expires_at: expiresAt.toISOString() },
    };
    await appendAudit(tx, target, said);
    return { grant: await readGrant(tx, before.id), token, expiresAt, note: said };
  });
  await recordAudit(ctx, note);
  return opened;
}

/** Where an operator acts: the tenant under a context whose events name the operator and the grant. */
async function targetOf(
  ctx: RequestContext,
  tenantId: string,
  grant: string | null = null,
): Promise<{ target: RequestContext; tenant: Id<'tnt'> }> {
  const uuid = uuidOrNull('tnt', tenantId);
  const place = uuid === null ? null : await findTenant(ctx.databases, idOf('tnt', uuid));
  // Nobody there could let her in who is not an operator herself.
  if (place === null || place.slug === OPERATOR_SLUG) return fail('NOT_FOUND', 'no such tenant to be let into');
  const { type, id, ip, ua } = ctx.tenant.actor;
  if (type !== 'user') {
    fail('FORBIDDEN', 'support access is asked for by a person', {
      hint: 'A person of the operators asks, not a key.',
    });
  }
  const origin = { actor: { type: 'support', id, ip, ua }, requestId: ctx.tenant.requestId, sessionId: grant } as const;
  return { target: requestContext(ctx.platform, contextIn(place, origin)), tenant: place.id };
}

type Grant = SupportGrant & { readonly id: Id<'sup'> };

interface GrantRow extends Omit<SupportGrant, 'id'> {
  readonly id: string;
}

const COLUMNS = `id, operator, reason, ticket, access, personal_data as "personalData", minutes,
  requested_at as "requestedAt", decided_at as "decidedAt", decided_by as "decidedBy", expires_at as "expiresAt",
  ended_at as "endedAt", ended_by as "endedBy", last_session_at as "lastSessionAt",
  case when decided_at is null then
      case when requested_at > now() - make_interval(days => ${SUPPORT_REQUEST_DAYS}) then 'pending' else 'lapsed' end
    when not approved then 'denied'
    when ended_at is null and expires_at > clock_timestamp() then 'active' else 'ended' end as state`;

async function readGrant(tx: TenantTransaction, id: Id<'sup'>): Promise<Grant> {
  const [row] = await tx.query<GrantRow>(`select ${COLUMNS} from support_grants where id = $1`, [uuidOf('sup', id)]);
  return row === undefined ? fail('NOT_FOUND', 'the tenant has no such grant') : grantOf(row);
}

async function lockGrant(tx: TenantTransaction, id: string): Promise<Grant> {
  const uuid = uuidOrNull('sup', id);
  if (uuid === null) return fail('NOT_FOUND', 'not an id of a grant');
  await tx.query('select from support_grants where id = $1 for update', [uuid]);
  return readGrant(tx, idOf('sup', uuid));
}

async function endGrant(
  tx: TenantTransaction,
  ctx: RequestContext,
  { id, by }: { readonly id: string; readonly by: 'tenant' | 'operator' },
): Promise<SupportGrant> {
  const before = await lockGrant(tx, id);
  requireState(before, 'active');
  await tx.query('update support_grants set ended_at = now(), ended_by = $2 where id = $1', [
    uuidOf('sup', before.id),
    ctx.tenant.actor.id,
  ]);
  await endSupportToken(tx, before.id);
  await appendAudit(tx, ctx, {
    action: 'support.end',
    resource: resourceOf(before.id),
    context: { by, operator: before.operator },
  });
  return readGrant(tx, before.id);
}

async function requireRoom(tx: TenantTransaction): Promise<void> {
  const [row] = await tx.query<{ pending: number }>(
    `select count(*)::integer as pending from support_grants
      where decided_at is null and requested_at > now() - make_interval(days => ${SUPPORT_REQUEST_DAYS})`,
  );
  if ((row?.pending ?? 0) < MOST_PENDING) return;
  fail('CONFLICT', 'too many requests wait', { hint: `${MOST_PENDING} requests wait for the tenant already.` });
}

function requireState({ state }: SupportGrant, wanted: 'pending' | 'active'): void {
  if (state !== wanted) fail('CONFLICT', `the grant is ${state}`, { hint: `The access is ${state}, not ${wanted}.` });
}

function requireOwn({ tenant: { actor } }: RequestContext, { operator }: SupportGrant): void {
  if (operator !== actor.id) fail('NOT_FOUND', "another operator's grant");
}

function grantOf(row: GrantRow): Grant {
  return { ...row, id: idOf('sup', row.id) };
}

function idOrNull(id: string): string | null {
  return uuidOrNull('sup', id) === null ? null : id;
}

function resourceOf(id: string): AuditNote['resource'] {
  return { type: 'support_grant', id, name: null };
}
