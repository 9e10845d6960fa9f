import { issueCredential, type NewCredential } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import type { Tier } from '#schema/tenant-context.ts';
import { systemOrigin } from './tenants/operator.ts';
import { provisionTenant } from './tenants/provisioning.ts';

/** The credentials of one demo tenant, as the credentials file holds them. */
export interface DemoTenant {
  readonly id: string;
  readonly slug: string;
  readonly tier: Tier;
  readonly region: string;
  /** Sessions of an administrator, a member and an auditor; an API key; a SCIM token. */
  readonly admin: string;
  readonly member: string;
  readonly partner: string;
  readonly scim: string;
  readonly auditor: string;
}

const DEMO_TENANTS = [
  { slug: 'acme', name: 'Acme Corporation', tier: 'ENTERPRISE', region: 'eu' },
  { slug: 'globex', name: 'Globex', tier: 'GROWTH', region: 'us' },
  { slug: 'initech', name: 'Initech', tier: 'FREE', region: 'eu' },
] as const;

/** Demo credentials last as long as somebody tries the platform out. */
const LIFETIME_MS = 365 * 24 * 3_600_000;
/** The registered client of the demo partner; its operations lie in schema/operations. */
export const DEMO_CLIENT = 'partner-app';

/** Makes the three demo tenants of embedded mode and returns their credentials, which nothing can show again. */
export async function makeDemoTenants(platform: Platform): Promise<DemoTenant[]> {
  const tenants: DemoTenant[] = [];
  for (const demo of DEMO_TENANTS) tenants.push(await makeDemoTenant(platform, demo));
  return tenants;
}

async function makeDemoTenant(platform: Platform, demo: (typeof DEMO_TENANTS)[number]): Promise<DemoTenant> {
  const domain = `${demo.slug}.example`;
  const input = { ...demo, adminEmail: `admin@${domain}`, adminName: 'Ada Admin', state: 'active' as const };
  const { tenant, context, adminUserId } = await provisionTenant(
    platform,
    input,
    systemOrigin('embedded', mintId('req')),
  );
  await platform.databases.directory.query(
    'insert into email_domains (domain, tenant_id) values ($1, $2) on conflict do nothing',
    [domain, uuidOf('tnt', tenant.id)],
  );
  const ctx = requestContext(platform, context);
  return inTenant(ctx, async (tx) => {
    const expiresAt = new Date(platform.clock().getTime() + LIFETIME_MS);
    const issue = async (credential: Omit<NewCredential, 'expiresAt'>, said: Record<string, JsonValue>) => {
      const { id, token } = await issueCredential(tx, context.tenant, { ...credential, expiresAt });
      await appendAudit(tx, ctx, {
        action: `${credential.kind}.create`,
        resource: { type: credential.kind, id, name: credential.kind === 'session' ? null : credential.name },
        context: said,
      });
      return token;
    };
    const session = async (userId: string) =>
      issue({ kind: 'session', userId, name: 'demo session' }, { user: userId, method: 'demo', amr: [] });
    const keyScopes = ['projects:read', 'usage:write', 'billing:read'] as const;
    const member = await addPerson(tx, ctx, { name: 'Mia Member', email: `mia@${domain}`, role: 'member' });
    const auditor = await addPerson(tx, ctx, { name: 'Otto Auditor', email: `otto@${domain}`, role: 'auditor' });
    return {
      id: tenant.id,
      slug: demo.slug,
      tier: demo.tier,
      region: demo.region,
      admin: await session(adminUserId),
      member: await session(member),
      partner: await issue(
        { kind: 'api_key', userId: null, name: 'demo partner', client: DEMO_CLIENT, scopes: keyScopes },
        { scopes: [...keyScopes] },
      ),
      scim: await issue(
        { kind: 'scim_token', userId: null, name: 'demo identity provider', scopes: ['scim'] },
        { scopes: ['scim'] },
      ),
      auditor: await session(auditor),
    };
  });
}

async function addPerson(
  tx: TenantTransaction,
  ctx: RequestContext,
  person: { name: string; email: string; role: string },
): Promise<string> {
  const id = mintId('usr');
  const user = uuidOf('usr', id);
  await tx.query('insert into users (id, user_name, display_name, email) values ($1, $2, $3, $2)', [
    user,
    person.email,
    person.name,
  ]);
  await appendAudit(tx, ctx, {
    action: 'user.create',
    resource: { type: 'user', id, name: person.name },
    context: { source: 'demo' },
  });
  const [role] = await tx.query<{ role_id: string }>(
    'insert into user_roles (user_id, role_id) select $1, id from roles where name = $2 returning role_id',
    [user, person.role],
  );
  const resource = { type: 'role', id: idOf('rol', role?.role_id ?? ''), name: person.role };
  await appendAudit(tx, ctx, { action: 'role.grant', resource, context: { user: id, source: 'demo' } });
  return id;
}
