import { beforeAll, describe, expect, it } from 'vitest';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { mintId, type Id } from '#schema/ids.ts';
import { BUILT_IN_ROLES } from '#schema/scopes.ts';
import { ask, codeOf, dataOf, openAudit } from './audit-platform.ts';

const REQUEST = '{ request { id kind state subject { id } dueAt extensionReason packId erasureId } }';
const ACCESS = `mutation ($userId: ID!, $at: DateTimeISO) { requestSubjectAccess(input: { userId: $userId, receivedAt: $at }) ${REQUEST} }`;
const EXTEND = `mutation ($id: ID!, $months: Int!) { extendPrivacyRequest(input: { id: $id, months: $months, reason: "many" }) ${REQUEST} }`;
const LIST = '{ privacyRequests(first: 10) { edges { node { id state subject { id } } } } }';
const ONE = 'query ($id: ID!) { privacyRequest(id: $id) { id } }';
const EXPORT = 'mutation { requestTenantExport { pack { id kind state } } }';

interface Entered {
  readonly request: {
    readonly id: string;
    readonly state: string;
    readonly dueAt: string;
    readonly packId: string | null;
  };
}
interface Listed {
  readonly privacyRequests: { readonly edges: readonly { readonly node: { readonly id: string } }[] };
}

const house = await openAudit();
let ctx: RequestContext;
let other: RequestContext;
let person: Id<'usr'>;

beforeAll(async () => {
  ctx = (await house.addTenant('asked')).ctx;
  other = (await house.addTenant('stranger')).ctx;
  person = mintId('usr');
});

function withRole(role: keyof typeof BUILT_IN_ROLES, of = ctx): RequestContext {
  return requestContext(of.platform, { ...of.tenant, scopes: BUILT_IN_ROLES[role] });
}

async function enter(): Promise<Entered['request']> {
  const { requestSubjectAccess } = await dataOf<{ requestSubjectAccess: Entered }>(
    ask(withRole('admin'), ACCESS, { userId: person }),
  );
  return requestSubjectAccess.request;
}

describe('requests under the GDPR in the graph', () => {
  it('are entered and extended by an administrator, and shown with what answers them', async () => {
    const request = await enter();
    expect(request).toMatchObject({ state: 'OPEN', packId: expect.stringMatching(/^evd_/), erasureId: null });
    const { extendPrivacyRequest } = await dataOf<{ extendPrivacyRequest: Entered }>(
      ask(withRole('admin'), EXTEND, { id: request.id, months: 2 }),
    );
    expect(Date.parse(extendPrivacyRequest.request.dueAt)).toBeGreaterThan(Date.parse(request.dueAt));
    const { privacyRequests } = await dataOf<Listed>(ask(withRole('auditor'), LIST));
    expect(privacyRequests.edges.map(({ node }) => node.id)).toContain(request.id);
  });

  it('are entered by no member, and extended neither by her nor by an auditor', async () => {
    const { id } = await enter();
    expect(await codeOf(ask(withRole('member'), ACCESS, { userId: person }))).toBe('FORBIDDEN');
    for (const role of ['member', 'auditor'] as const)
      expect(await codeOf(ask(withRole(role), EXTEND, { id, months: 1 })), role).toBe('FORBIDDEN');
    expect(await codeOf(ask(withRole('member'), LIST))).toBe('FORBIDDEN');
    expect(await codeOf(ask(withRole('member'), ONE, { id }))).toBe('FORBIDDEN');
  });

  it('are of no other tenant', async () => {
    const { id } = await enter();
    const stranger = withRole('admin', other);
    expect(await dataOf(ask(stranger, ONE, { id }))).toEqual({ privacyRequest: null });
    expect(await dataOf(ask(stranger, LIST))).toEqual({ privacyRequests: { edges: [] } });
    expect(await codeOf(ask(stranger, EXTEND, { id, months: 1 }))).toBe('NOT_FOUND');
  });

  it('are extended by one month or two, and nothing else', async () => {
    const { id } = await enter();
    for (const months of [0, 3, -1])
      expect(await codeOf(ask(withRole('admin'), EXTEND, { id, months }))).toBe('BAD_USER_INPUT');
  });
});

describe('the export of a whole tenant', () => {
  it('is nothing for a member or an auditor, by whatever door', async () => {
    for (const role of ['member', 'auditor'] as const)
      expect(await codeOf(ask(withRole(role), EXPORT)), role).toBe('FORBIDDEN');
    const packed =
      'mutation { requestEvidence(input: { kind: TENANT_EXPORT, from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z" }) { pack { id } } }';
    expect(await codeOf(ask(withRole('auditor'), packed))).toBe('FORBIDDEN');
  });

  it('is asked for by an administrator', async () => {
    const { requestTenantExport } = await dataOf<{ requestTenantExport: { pack: object } }>(
      ask(withRole('admin'), EXPORT),
    );
    expect(requestTenantExport.pack).toMatchObject({ kind: 'TENANT_EXPORT', state: 'REQUESTED' });
  });
});
