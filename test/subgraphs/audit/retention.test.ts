import { beforeEach, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { isHeld } from '#kit/legal-hold.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import { BUILT_IN_ROLES } from '#schema/scopes.ts';
import { eraseSubject } from '../../../subgraphs/audit/personal-erasure.ts';
import { ask, codeOf, dataOf, openAudit, without } from './audit-platform.ts';

const RETENTION = '{ days defaultDays minDays maxDays isHeld changes { days setBy setAt } }';
const READ = `{ auditRetention ${RETENTION} }`;
const SET = `mutation ($days: Int!) { setAuditRetention(input: { days: $days }) { retention ${RETENTION} } }`;
const HOLD = '{ id reason placedBy placedAt releasedBy releasedAt }';
const PLACE = `mutation ($reason: String!) { placeLegalHold(input: { reason: $reason }) { hold ${HOLD} } }`;
const RELEASE = `mutation ($id: ID!) { releaseLegalHold(input: { id: $id }) { hold ${HOLD} } }`;
const LIST =
  'query ($first: Int! = 20, $after: String) { legalHolds(first: $first, after: $after) { edges { node { id releasedBy } } pageInfo { hasNextPage endCursor } } }';

interface Hold {
  readonly id: string;
  readonly reason: string;
  readonly placedBy: string;
  readonly releasedBy: string | null;
}
interface Holds {
  readonly legalHolds: {
    readonly edges: readonly { readonly node: Hold }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

const house = await openAudit();
let ctx: RequestContext;
let other: RequestContext;
let cases = 0;

beforeEach(async () => {
  cases += 1;
  ctx = (await house.addTenant(`held-${cases}`)).ctx;
  other = (await house.addTenant(`other-${cases}`)).ctx;
});

/** A request of another actor of the same tenant. */
function colleague(type: 'user' | 'api_key' = 'user'): RequestContext {
  const actor = { type, id: mintId(type === 'user' ? 'usr' : 'key'), ip: null, ua: null };
  return requestContext(ctx.platform, { ...ctx.tenant, actor });
}

function withRole(role: keyof typeof BUILT_IN_ROLES): RequestContext {
  return requestContext(ctx.platform, { ...ctx.tenant, scopes: BUILT_IN_ROLES[role] });
}

async function place(of = ctx, reason = 'Case 4711'): Promise<Hold> {
  const { placeLegalHold } = await dataOf<{ placeLegalHold: { hold: Hold } }>(ask(of, PLACE, { reason }));
  return placeLegalHold.hold;
}

const held = (of: RequestContext) => inTenant(of, (tx) => isHeld(tx));

describe('retention of the audit log', () => {
  it('is that of the deployment until the tenant decides, and every decision stays visible', async () => {
    const defaults = { days: 90, defaultDays: 90, minDays: 30, maxDays: 3650, isHeld: false, changes: [] };
    expect(await dataOf(ask(ctx, READ))).toEqual({ auditRetention: defaults });
    await dataOf(ask(ctx, SET, { days: 365 }));
    const admin = colleague();
    await dataOf(ask(admin, SET, { days: 30 }));
    const at = '2026-05-04T12:00:00.000Z';
    expect(await dataOf(ask(ctx, READ))).toMatchObject({
      auditRetention: {
        days: 30,
        changes: [
          { days: 30, setBy: 'id' in admin.tenant.actor ? admin.tenant.actor.id : '', setAt: at },
          { days: 365 },
        ],
      },
    });
    const events = (await house.written(ctx)).filter(({ action }) => action === 'audit_retention.update');
    expect(events.map(({ context }) => context)).toEqual([
      { days: 365, previous_days: 90 },
      { days: 30, previous_days: 365 },
    ]);
  });

  it.each([29, 3651, 0, -1, 2 ** 31 - 1])('of %i days is refused and leaves no event', async (days) => {
    expect(await codeOf(ask(ctx, SET, { days }))).toBe('BAD_USER_INPUT');
    expect(await house.written(ctx)).toEqual([]);
  });

  it('of one tenant is unknown to another', async () => {
    await dataOf(ask(ctx, SET, { days: 365 }));
    await place();
    expect(await dataOf(ask(other, READ))).toMatchObject({ auditRetention: { days: 90, isHeld: false, changes: [] } });
    expect((await dataOf<Holds>(ask(other, LIST))).legalHolds.edges).toEqual([]);
  });

  it.each(['member', 'auditor'] as const)('is not changed by the role %s', async (role) => {
    const { id } = await place(colleague());
    for (const [document, variables] of [
      [SET, { days: 365 }],
      [PLACE, { reason: 'x' }],
      [RELEASE, { id }],
    ] as const) {
      expect(await codeOf(ask(withRole(role), document, variables))).toBe('FORBIDDEN');
    }
    expect(await held(ctx)).toBe(true);
  });

  it('is read with audit:read alone', async () => {
    expect(await codeOf(ask(withRole('auditor'), READ))).toBeNull();
    expect(await codeOf(ask(without(ctx, 'audit:read'), READ))).toBe('FORBIDDEN');
    expect(await codeOf(ask(without(ctx, 'audit:read'), LIST))).toBe('FORBIDDEN');
  });
});

describe('a legal hold', () => {
  it('stands until the last of several is released, by somebody else', async () => {
    const [one, two] = [await place(ctx, 'Case 1'), await place(ctx, 'Case 2')];
    expect(await held(ctx)).toBe(true);
    expect(await held(other)).toBe(false);
    expect(await codeOf(ask(ctx, RELEASE, { id: one.id }))).toBe('FORBIDDEN');
    expect(await codeOf(ask(colleague('api_key'), RELEASE, { id: one.id }))).toBe('FORBIDDEN');
    const admin = colleague();
    await dataOf(ask(admin, RELEASE, { id: one.id }));
    expect(await held(ctx)).toBe(true);
    expect(await codeOf(ask(admin, RELEASE, { id: one.id }))).toBe('CONFLICT');
    await dataOf(ask(admin, RELEASE, { id: two.id }));
    expect(await held(ctx)).toBe(false);
    const { legalHolds } = await dataOf<Holds>(ask(ctx, LIST, { first: 1 }));
    expect(legalHolds.edges.map(({ node }) => node.id)).toEqual([two.id]);
    const next = await dataOf<Holds>(ask(ctx, LIST, { after: legalHolds.pageInfo.endCursor }));
    expect(next.legalHolds.edges.map(({ node }) => node.id)).toEqual([one.id]);
    const events = await house.written(ctx);
    expect(events.map(({ action, resource }) => [action, resource.id])).toEqual([
      ['legal_hold.place', one.id],
      ['legal_hold.place', two.id],
      ['legal_hold.release', one.id],
      ['legal_hold.release', two.id],
    ]);
  });

  it('of another tenant does not exist', async () => {
    const { id } = await place();
    expect(await codeOf(ask(other, RELEASE, { id }))).toBe('NOT_FOUND');
    expect(await codeOf(ask(ctx, RELEASE, { id: mintId('hld') }))).toBe('NOT_FOUND');
    expect(await codeOf(ask(ctx, RELEASE, { id: 'hld_nothing' }))).toBe('NOT_FOUND');
    expect(await held(ctx)).toBe(true);
  });

  it('without a reason, or with too long a one, is refused', async () => {
    expect(await codeOf(ask(ctx, PLACE, { reason: '' }))).toBe('BAD_USER_INPUT');
    expect(await codeOf(ask(ctx, PLACE, { reason: 'x'.repeat(501) }))).toBe('BAD_USER_INPUT');
    expect(await held(ctx)).toBe(false);
  });

  it('is not forged by the application: who placed it cannot release it in the database either', async () => {
    const { id, placedBy } = await place();
    const forge = inTenant(ctx, (tx) =>
      tx.query('update legal_holds set released_by = $2, released_at = now() where id = $1', [
        uuidOf('hld', id),
        placedBy,
      ]),
    );
    await expect(forge).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    for (const statement of [
      'delete from legal_holds',
      `update legal_holds set placed_by = 'usr_x'`,
      'delete from retention_policies',
    ])
      await expect(inTenant(ctx, (tx) => tx.query(statement))).rejects.toThrow();
    expect(await held(ctx)).toBe(true);
  });

  it('keeps people from being erased, until it is released', async () => {
    const user = await addUser();
    const { id } = await place();
    await expect(eraseSubject(ctx, { userId: user, basis: 'objection' })).rejects.toMatchObject({ code: 'CONFLICT' });
    await dataOf(ask(colleague(), RELEASE, { id }));
    expect((await eraseSubject(ctx, { userId: user, basis: 'objection' })).state).toBe('requested');
  });

  it('is placed before or after an erasure, never beside one', async () => {
    const order: string[] = [];
    let holdPlaced: Promise<unknown> = Promise.resolve();
    await inTenant(ctx, async (tx) => {
      expect(await isHeld(tx)).toBe(false);
      holdPlaced = place().then(() => order.push('held'));
      // The hold has to wait for this transaction: it stands in the way until the database says so.
      await waiting(`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`);
      order.push('erased');
    });
    await holdPlaced;
    expect(order).toEqual(['erased', 'held']);
  });
});

async function addUser(): Promise<string> {
  const [row] = await house.peek<{ id: string }>(
    'eu-1',
    `insert into users (tenant_id, id, user_name, email, display_name) values ($1, gen_random_uuid(), 'her', 'her@example.com', 'Her') returning id`,
    [uuidOf('tnt', ctx.tenant.tenant)],
  );
  return idOf('usr', row?.id ?? '');
}

/** Resolves when the statement yields a row; the test's own time limit ends the waiting. */
async function waiting(statement: string): Promise<void> {
  while ((await house.peek('eu-1', statement)).length === 0) continue;
}
