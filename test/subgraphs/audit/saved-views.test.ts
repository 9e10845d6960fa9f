import { describe, expect, it } from 'vitest';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { collectPersonalData } from '../../../subgraphs/audit/personal-data.ts';
import { ask, codeOf, dataOf, openAudit, without } from './audit-platform.ts';

const VIEW =
  '{ id name shared ownerId filter { actorId action resourceType resourceId outcome from to text } createdAt updatedAt }';
const CREATE = `mutation ($input: CreateAuditViewInput!) { createAuditView(input: $input) { view ${VIEW} } }`;
const UPDATE = `mutation ($input: UpdateAuditViewInput!) { updateAuditView(input: $input) { view ${VIEW} } }`;
const DELETE = 'mutation ($input: DeleteAuditViewInput!) { deleteAuditView(input: $input) { deletedId } }';
const LIST =
  'query ($first: Int! = 20, $after: String) { auditViews(first: $first, after: $after) { edges { node { id name } } pageInfo { hasNextPage endCursor } } }';
const EVENTS =
  'query ($view: ID, $filter: AuditFilter) { auditEvents(view: $view, filter: $filter) { edges { node { seq } } } }';

interface View {
  readonly id: string;
  readonly name: string;
  readonly filter: object;
}
interface Views {
  readonly auditViews: {
    readonly edges: readonly { readonly node: View }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

const house = await openAudit();

async function create(ctx: RequestContext, input: object): Promise<View> {
  const { createAuditView } = await dataOf<{ createAuditView: { view: View } }>(ask(ctx, CREATE, { input }));
  return createAuditView.view;
}

async function namesSeen(ctx: RequestContext): Promise<string[]> {
  const { auditViews } = await dataOf<Views>(ask(ctx, LIST));
  return auditViews.edges.map(({ node }) => node.name);
}

async function seqsFound(ctx: RequestContext, variables: object): Promise<number[]> {
  const { auditEvents } = await dataOf<{ auditEvents: { edges: { node: { seq: number } }[] } }>(
    ask(ctx, EVENTS, { ...variables }),
  );
  return auditEvents.edges.map(({ node }) => node.seq);
}

/** A request of another user of the same tenant. */
function colleague(ctx: RequestContext): RequestContext {
  const actor = { type: 'user', id: mintId('usr'), ip: null, ua: null } as const;
  return requestContext(ctx.platform, { ...ctx.tenant, actor });
}

const FULL = {
  actorId: ['usr_1'],
  action: ['user.*'],
  resourceType: ['user'],
  resourceId: ['usr_2'],
  outcome: ['DENIED'],
  from: '2026-01-01T00:00:00.000Z',
  to: '2026-02-01T00:00:00.000Z',
  text: 'Ada',
};
const EMPTY = {
  actorId: null,
  action: null,
  resourceType: null,
  resourceId: null,
  outcome: null,
  from: null,
  to: null,
  text: null,
};

describe('a saved view', () => {
  it('keeps every field of its filter, and the log is searched by it together with another filter', async () => {
    const { ctx, log } = await house.addTenant('kept');
    const view = await create(ctx, { name: 'All', filter: FULL });
    expect(view).toMatchObject({ name: 'All', shared: false, ownerId: ctx.tenant.actor.id, filter: FULL });
    await log.append([
      { action: 'user.create' },
      { action: 'document.share' },
      { action: 'user.delete', outcome: 'denied' },
    ]);
    const users = await create(ctx, { name: 'Users', filter: { action: 'user.*' } });
    expect(users.filter).toEqual({ ...EMPTY, action: ['user.*'] });
    expect(await seqsFound(ctx, { view: users.id })).toEqual([2, 0]);
    expect(await seqsFound(ctx, { view: users.id, filter: { outcome: 'DENIED' } })).toEqual([2]);
    expect(await seqsFound(ctx, { view: users.id, filter: { action: 'document.share' } })).toEqual([]);
  });

  it('is changed in what is given alone, and deleted', async () => {
    const { ctx } = await house.addTenant('changed');
    const { id } = await create(ctx, { name: 'One', filter: { text: 'ada' } });
    const change = async (input: object) =>
      (await dataOf<{ updateAuditView: { view: View } }>(ask(ctx, UPDATE, { input: { id, ...input } }))).updateAuditView
        .view;
    expect(await change({ name: 'Two' })).toMatchObject({
      name: 'Two',
      shared: false,
      filter: { ...EMPTY, text: 'ada' },
    });
    expect(await change({ shared: true })).toMatchObject({ name: 'Two', shared: true });
    expect(await change({ filter: { actorId: 'usr_1' } })).toMatchObject({ filter: { ...EMPTY, actorId: ['usr_1'] } });
    expect(await dataOf(ask(ctx, DELETE, { input: { id } }))).toEqual({ deleteAuditView: { deletedId: id } });
    expect(await namesSeen(ctx)).toEqual([]);
    expect(await codeOf(ask(ctx, EVENTS, { view: id }))).toBe('NOT_FOUND');
  });

  it('leaves an event of every change that says which fields it filters by, and nothing of what it looks for', async () => {
    const { ctx } = await house.addTenant('watched');
    const { id } = await create(ctx, { name: 'Looking at Bob', filter: { text: 'bob', actorId: 'usr_bob' } });
    await dataOf(ask(ctx, UPDATE, { input: { id, name: 'Shared', shared: true, filter: { text: 'bob' } } }));
    await ask(ctx, EVENTS, { view: id, filter: { outcome: 'DENIED' } });
    await dataOf(ask(ctx, DELETE, { input: { id } }));
    await ask(ctx, DELETE, { input: { id } });
    const written = await house.written(ctx);
    expect(written.map(({ action, resource, context }) => [action, resource.id, resource.name, context])).toEqual([
      ['audit_view.create', id, null, { shared: false, filters: ['actor_id', 'text'] }],
      ['audit_view.update', id, 'Shared', { shared: true, filters: ['text'] }],
      ['audit.read', ctx.tenant.tenant, null, { door: 'search', filters: ['outcome', 'text', 'view'] }],
      ['audit_view.delete', id, 'Shared', { shared: true, filters: ['text'] }],
    ]);
    expect(JSON.stringify(written.map(({ context }) => context))).not.toContain('bob');
  });

  it('has a name that its owner gives once', async () => {
    const { ctx } = await house.addTenant('named');
    await create(ctx, { name: 'One', filter: {} });
    const { id } = await create(ctx, { name: 'Two', filter: {} });
    expect(await codeOf(ask(ctx, CREATE, { input: { name: 'One', filter: {} } }))).toBe('UNIQUENESS');
    expect(await codeOf(ask(ctx, UPDATE, { input: { id, name: 'One' } }))).toBe('UNIQUENESS');
    await create(colleague(ctx), { name: 'One', filter: {} });
    expect(await namesSeen(ctx)).toEqual(['Two', 'One']);
  });

  it.each([
    [{ name: '', filter: {} }],
    [{ name: 'x'.repeat(101), filter: {} }],
    [{ name: 'a', filter: { text: '' } }],
    [{ name: 'a', filter: { text: Array.from({ length: 21 }, (_, n) => `w${n}`).join(' ') } }],
    [{ name: 'a', filter: { actorId: [] } }],
    [{ name: 'a', filter: { action: ['%'] } }],
    [{ name: 'a\u0000', filter: {} }],
  ])('that is malformed is BAD_USER_INPUT: %j', async (input) => {
    const { ctx } = await house.addTenant(`bad-${mintId('req')}`);
    expect(await codeOf(ask(ctx, CREATE, { input }))).toBe('BAD_USER_INPUT');
    expect(await house.written(ctx)).toEqual([]);
  });

  it('whose stored filter the rules refuse is CONFLICT and searches nothing', async () => {
    const { ctx } = await house.addTenant('stale');
    const { id } = await create(ctx, { name: 'Old', filter: { action: 'user.*' } });
    await house.peek('eu-1', `update audit_views set filter = '{"action": ["%"]}' where id = $1`, [uuidOf('vew', id)]);
    expect(await codeOf(ask(ctx, EVENTS, { view: id }))).toBe('CONFLICT');
  });

  it('comes in pages, newest first', async () => {
    const { ctx } = await house.addTenant('paged');
    for (const name of ['a', 'b', 'c']) await create(ctx, { name, filter: {} });
    const first = await dataOf<Views>(ask(ctx, LIST, { first: 2 }));
    const { endCursor } = first.auditViews.pageInfo;
    const second = await dataOf<Views>(ask(ctx, LIST, { first: 2, after: endCursor }));
    const names = [first, second].map(({ auditViews }) => auditViews.edges.map(({ node }) => node.name));
    expect(names).toEqual([['c', 'b'], ['a']]);
  });
});

describe('a view of somebody else', () => {
  it('is not there for others while it is personal', async () => {
    const { ctx } = await house.addTenant('personal');
    const { id } = await create(ctx, { name: 'Mine', filter: {} });
    const other = colleague(ctx);
    expect(await namesSeen(other)).toEqual([]);
    expect(await codeOf(ask(other, EVENTS, { view: id }))).toBe('NOT_FOUND');
    expect(await codeOf(ask(other, UPDATE, { input: { id, name: 'Theirs' } }))).toBe('NOT_FOUND');
    expect(await codeOf(ask(other, DELETE, { input: { id } }))).toBe('NOT_FOUND');
    expect(await namesSeen(ctx)).toEqual(['Mine']);
  });

  it('that is shared is seen and used, changed by its owner alone, and deleted by whoever may change the tenant', async () => {
    const { ctx, log } = await house.addTenant('shared');
    await log.append([{}]);
    const { id } = await create(ctx, { name: 'Ours', shared: true, filter: {} });
    const auditor = without(colleague(ctx), 'tenant:write');
    expect(await namesSeen(auditor)).toEqual(['Ours']);
    expect(await seqsFound(auditor, { view: id })).toEqual([0]);
    expect(await codeOf(ask(colleague(ctx), UPDATE, { input: { id, name: 'Theirs' } }))).toBe('FORBIDDEN');
    expect(await codeOf(ask(auditor, DELETE, { input: { id } }))).toBe('FORBIDDEN');
    expect(await namesSeen(ctx)).toEqual(['Ours']);
    expect(await codeOf(ask(colleague(ctx), DELETE, { input: { id } }))).toBeNull();
    expect(await namesSeen(ctx)).toEqual([]);
  });

  it('of another tenant is never there, shared or not', async () => {
    const { ctx } = await house.addTenant('owner');
    const { id } = await create(ctx, { name: 'Ours', shared: true, filter: {} });
    const { ctx: stranger } = await house.addTenant('stranger');
    expect(await namesSeen(stranger)).toEqual([]);
    expect(await codeOf(ask(stranger, EVENTS, { view: id }))).toBe('NOT_FOUND');
    expect(await codeOf(ask(stranger, UPDATE, { input: { id, name: 'Theirs' } }))).toBe('NOT_FOUND');
    expect(await codeOf(ask(stranger, DELETE, { input: { id } }))).toBe('NOT_FOUND');
    expect(await namesSeen(ctx)).toEqual(['Ours']);
  });

  it.each(['nonsense', mintId('vew'), mintId('usr')])('that is none is NOT_FOUND: %s', async (id) => {
    const { ctx } = await house.addTenant(`none-${mintId('req')}`);
    expect(await codeOf(ask(ctx, EVENTS, { view: id }))).toBe('NOT_FOUND');
    expect(await codeOf(ask(ctx, DELETE, { input: { id } }))).toBe('NOT_FOUND');
  });
});

describe('without the right to read the log', () => {
  it('no view is seen, made, changed or deleted', async () => {
    const { ctx } = await house.addTenant('closed');
    const { id } = await create(ctx, { name: 'Mine', filter: {} });
    const blind = without(ctx, 'audit:read');
    for (const [document, variables] of [
      [LIST, {}],
      [CREATE, { input: { name: 'No', filter: {} } }],
      [UPDATE, { input: { id, name: 'No' } }],
      [DELETE, { input: { id } }],
    ] as const) {
      expect(await codeOf(ask(blind, document, variables)), document).toBe('FORBIDDEN');
    }
    expect(await namesSeen(ctx)).toEqual(['Mine']);
  });
});

describe('a reading', () => {
  it('is recorded once a request, however often its fields ask, and apart where the filters are others', async () => {
    const { ctx } = await house.addTenant('often');
    const field = (name: string, filter: string) => `${name}: auditEvents(filter: ${filter}) { edges { node { id } } }`;
    await ask(
      ctx,
      `{ ${field('a', '{ text: "x" }')} ${field('b', '{ text: "y" }')} ${field('c', '{ outcome: DENIED }')} }`,
    );
    const written = await house.written(ctx);
    expect(written.map(({ context }) => (context as { filters: string[] }).filters.join()).toSorted()).toEqual([
      'outcome',
      'text',
    ]);
  });
});

describe('what the log holds of a person', () => {
  it('includes the views that she made, and those of anybody that name her address', async () => {
    const { ctx } = await house.addTenant('erasing');
    const other = colleague(ctx);
    const email = 'Ada.Lovelace@acme.example';
    const userId = ctx.tenant.actor.type === 'user' ? ctx.tenant.actor.id : mintId('usr');
    await create(ctx, { name: 'hers alone', filter: { action: 'user.*' } });
    await create(ctx, { name: 'shared by her', shared: true, filter: { action: 'user.*' } });
    await create(other, { name: 'about her', filter: { text: 'ada.lovelace@ACME.example share' } });
    await create(other, { name: `of ${email}`, shared: true, filter: { action: 'user.*' } });
    await create(other, { name: 'about another', filter: { text: 'eve@acme.example' } });
    const [, , held] = await collectPersonalData(ctx, { userId, email });
    expect(held?.rows.map(({ name, isOwner }) => [name, isOwner])).toEqual([
      ['hers alone', true],
      ['shared by her', true],
      ['about her', false],
      [`of ${email}`, false],
    ]);
  });
});
