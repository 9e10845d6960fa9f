import { beforeAll, describe, expect, it } from 'vitest';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { register } from './event-receiver-server.ts';
import {
  addUser,
  ask,
  codeOf,
  openIdentity,
  patch,
  type IdentityPlatform,
  type TestTenant,
} from './identity-platform.ts';

let world: IdentityPlatform;
interface Things {
  readonly receiver: string;
  readonly delivery: string;
}
let own: Things;
let foreign: Things;
const ALL = Object.keys(SCOPES) as Scope[];
const without = (scope: Scope) => ALL.filter((known) => known !== scope);
const ENDPOINT = 'http://127.0.0.1:9/events';
const FULL = 'urn:ietf:params:scim:event:prov:create:full';

beforeAll(async () => {
  world = await openIdentity();
  foreign = await makeThings(world.initech);
  own = await makeThings(world.acme);
});

/** A receiver with a delivery that was given up. */
async function makeThings(tenant: TestTenant): Promise<Things> {
  const receiver = await register(tenant, {
    kind: 'SCIM_EVENTS',
    endpoint: ENDPOINT,
    name: `secret of ${tenant.id} ${mintId('req')}`,
  });
  await addUser(tenant, `${mintId('req')}@${tenant.id}.example`);
  return { receiver, delivery: await giveUp(tenant, receiver) };
}

async function giveUp(tenant: TestTenant, receiver: string): Promise<string> {
  const rows = await world.peek<{ id: string }>(
    tenant.cell,
    `update security_event_deliveries set state = 'dead', ended_at = now() where tenant_id = $1 returning id`,
    [uuidOf('tnt', tenant.id)],
  );
  expect(rows.length).toBeGreaterThan(0);
  const { data } = await ask(
    tenant.request(ALL),
    'query ($id: ID!) { securityEventReceiver(id: $id) { deliveries { edges { node { id } } } } }',
    { id: receiver },
  );
  const { deliveries } = (data as { securityEventReceiver: { deliveries: { edges: { node: { id: string } }[] } } })
    .securityEventReceiver;
  return deliveries.edges[0]?.node.id ?? '';
}

const mutation = (name: string, type: string, payload: string) =>
  `mutation ($input: ${type}!) { ${name}(input: $input) { ${payload} } }`;
const CREATE = mutation(
  'createSecurityEventReceiver',
  'CreateSecurityEventReceiverInput',
  'receiver { id events hasAuthorization }',
);
const UPDATE = mutation(
  'updateSecurityEventReceiver',
  'UpdateSecurityEventReceiverInput',
  'receiver { id endpoint hasAuthorization state }',
);
const DELETE = mutation('deleteSecurityEventReceiver', 'SecurityEventReceiverInput', 'deletedReceiverId');
const TEST = mutation('testSecurityEventReceiver', 'SecurityEventReceiverInput', 'delivery { id state subjectId }');
const REPLAY = mutation('replaySecurityEventDelivery', 'ReplaySecurityEventDeliveryInput', 'delivery { id state }');
const create = (more: object = {}) => ({
  input: { kind: 'CAEP', name: `made ${mintId('req')}`, endpoint: ENDPOINT, audience: 'app', ...more },
});

const OPERATIONS: readonly (readonly [
  name: string,
  document: string,
  scope: Scope,
  variables: (ids: Things) => object,
])[] = [
  ['securityEventReceivers', '{ securityEventReceivers { id name } }', 'identity:read', () => ({})],
  [
    'securityEventReceiver',
    'query ($id: ID!) { securityEventReceiver(id: $id) { id name deliveries { edges { node { id } } } } }',
    'identity:read',
    ({ receiver }) => ({ id: receiver }),
  ],
  ['createSecurityEventReceiver', CREATE, 'identity:write', () => create()],
  [
    'updateSecurityEventReceiver',
    UPDATE,
    'identity:write',
    ({ receiver }) => ({ input: { receiverId: receiver, audience: 'new' } }),
  ],
  ['testSecurityEventReceiver', TEST, 'identity:write', ({ receiver }) => ({ input: { receiverId: receiver } })],
  ['replaySecurityEventDelivery', REPLAY, 'identity:write', ({ delivery }) => ({ input: { deliveryId: delivery } })],
  ['deleteSecurityEventReceiver', DELETE, 'identity:write', ({ receiver }) => ({ input: { receiverId: receiver } })],
];
const BY_ID = OPERATIONS.filter(
  ([name]) => name !== 'securityEventReceivers' && name !== 'createSecurityEventReceiver',
);

describe('what belongs to another tenant', () => {
  it.each(BY_ID)('looks like nothing to %s, as does what there never was', async (name, document, _, variables) => {
    const nothing = { receiver: mintId('rcv'), delivery: mintId('dlv') };
    const answers = [];
    for (const ids of [foreign, nothing, { receiver: 'x', delivery: own.receiver }])
      answers.push(await ask(world.acme.request(ALL), document, variables(ids) as Record<string, unknown>));
    const shown = answers.map(({ data, errors }) => ({
      data,
      code: errors?.[0]?.extensions?.['code'],
      message: errors?.[0]?.message,
    }));
    expect(shown[0]).toEqual(shown[1]);
    expect(shown[2]).toEqual(shown[1]);
    if (name === 'securityEventReceiver') expect(shown[0]?.data).toEqual({ securityEventReceiver: null });
    else expect(shown[0]?.code).toBe('NOT_FOUND');
  });

  it('is in no list', async () => {
    const { data } = await ask(
      world.acme.request(ALL),
      '{ securityEventReceivers { id name deliveries { edges { node { id } } } } }',
    );
    expect(JSON.stringify(data)).toContain(own.receiver);
    expect(JSON.stringify(data)).not.toMatch(new RegExp(`${foreign.receiver}|${foreign.delivery}|${world.initech.id}`));
  });
});

describe('rights', () => {
  it.each(OPERATIONS)(
    '%s needs its scope, and no other right stands in for it',
    async (_, document, scope, variables) => {
      const ids = await makeThings(world.acme);
      const refused = await ask(
        world.acme.request(without(scope)),
        document,
        variables(ids) as Record<string, unknown>,
      );
      expect(codeOf(refused)).toBe('FORBIDDEN');
      expect(refused.errors?.[0]?.message).toContain(scope);
      const allowed = await ask(world.acme.request([scope]), document, variables(ids) as Record<string, unknown>);
      expect(allowed.errors).toBeUndefined();
      await ask(world.acme.request(ALL), DELETE, { input: { receiverId: ids.receiver } });
    },
  );

  it('nobody has resources sent out that she may not see', async () => {
    const input = { ...create().input, kind: 'SCIM_EVENTS', events: [FULL] };
    expect(codeOf(await ask(world.acme.request(without('users:read')), CREATE, { input }))).toBe('FORBIDDEN');
    expect(codeOf(await ask(world.acme.request(['identity:write', 'users:read']), CREATE, { input }))).toBeNull();
    const change = { input: { receiverId: own.receiver, events: [FULL] } };
    expect(codeOf(await ask(world.acme.request(without('users:read')), UPDATE, change))).toBe('FORBIDDEN');
  });
});

describe('a receiver', () => {
  const run = (document: string, variables: Record<string, unknown>) =>
    ask(world.globex.request(ALL), document, variables);
  const made = async (more: object = {}) => {
    const answer = await run(CREATE, create(more));
    expect(answer.errors).toBeUndefined();
    return (answer.data as { createSecurityEventReceiver: { receiver: { id: Id<'rcv'>; events: string[] } } })
      .createSecurityEventReceiver.receiver;
  };

  it.each([
    ['an address that is none', { endpoint: 'nowhere' }],
    ['a scheme of another kind', { endpoint: 'ftp://receiver.example/' }],
    ['a password in the address', { endpoint: 'https://a:b@receiver.example/' }],
    ['an event of another kind', { events: [FULL] }],
    ['no event', { events: [] }],
    [
      'the notice and the full event of one change',
      { kind: 'SCIM_EVENTS', events: [FULL, FULL.replace('full', 'notice')] },
    ],
    ['a header with a line break', { authorization: 'a\r\nx: y' }],
    ['no name', { name: '' }],
  ])('with %s is BAD_USER_INPUT', async (_, more) => {
    expect(codeOf(await run(CREATE, create(more)))).toBe('BAD_USER_INPUT');
  });

  it('in our own network is BAD_USER_INPUT where the settings refuse that', async () => {
    const ctx = world.globex.request(ALL);
    const platform = { ...ctx.platform, config: { ...ctx.platform.config, outgoingPrivate: 'refuse' as const } };
    expect(codeOf(await ask({ ...ctx, platform }, CREATE, create()))).toBe('BAD_USER_INPUT');
  });

  it('is sent notices by default, so that nothing of a person leaves unasked', async () => {
    const { events } = await made({ kind: 'SCIM_EVENTS' });
    expect(events).toHaveLength(8);
    expect(events.filter((event) => event.endsWith(':full'))).toEqual([]);
  });

  it('keeps its secret sealed, and never has it sent to another host', async () => {
    const { id } = await made({ authorization: 'Bearer top-secret' });
    const elsewhere = { receiverId: id, endpoint: 'http://127.0.0.2:9/events' };
    expect(codeOf(await run(UPDATE, { input: elsewhere }))).toBe('BAD_USER_INPUT');
    const same = await run(UPDATE, { input: { receiverId: id, endpoint: 'http://127.0.0.1:9/other' } });
    expect(same.data).toMatchObject({ updateSecurityEventReceiver: { receiver: { hasAuthorization: true } } });
    const moved = await run(UPDATE, { input: { ...elsewhere, authorization: null } });
    expect(moved.data).toMatchObject({ updateSecurityEventReceiver: { receiver: { hasAuthorization: false } } });
    const { id: sealedId } = await made({ authorization: 'Bearer top-secret' });
    const [row] = await world.peek<{ sealed_authorization: string }>(
      'us-1',
      'select sealed_authorization from security_event_receivers where id = $1',
      [uuidOf('rcv', sealedId)],
    );
    expect(row?.sealed_authorization).toMatch(/^v1\./);
    expect(JSON.stringify([row, await world.globex.events()])).not.toContain('top-secret');
  });

  it('that is disabled is sent no test', async () => {
    const { id } = await made();
    await run(UPDATE, { input: { receiverId: id, state: 'DISABLED' } });
    expect(codeOf(await run(TEST, { input: { receiverId: id } }))).toBe('CONFLICT');
  });

  it('is recorded with who did what, and without what its address may hold', async () => {
    const { id } = await made({ endpoint: 'http://127.0.0.1:9/events?key=hidden' });
    await run(UPDATE, { input: { receiverId: id, audience: 'other' } });
    await run(TEST, { input: { receiverId: id } });
    await run(DELETE, { input: { receiverId: id } });
    const events = (await world.globex.events()).filter(({ resource }) => resource.id === id);
    expect(events.map(({ action }) => action)).toEqual([
      'security_event_receiver.create',
      'security_event_receiver.update',
      'security_event_receiver.test',
      'security_event_receiver.delete',
    ]);
    expect(events[1]).toMatchObject({
      actor: { id: world.globex.adminId },
      context: { changed: ['audience'], audience: 'other' },
    });
    expect(JSON.stringify(events)).not.toContain('hidden');
  });

  it('one more than twenty is CONFLICT', async () => {
    await world.peek('us-1', 'delete from security_event_receivers');
    for (let count = 0; count < 20; count++) await made();
    expect(codeOf(await run(CREATE, create()))).toBe('CONFLICT');
    await world.peek('us-1', 'delete from security_event_receivers');
  });
});

it('nothing is queued of a tenant without receivers, however many people she changes', async () => {
  const user = await addUser(world.globex, 'quiet@globex.example');
  await world.globex.scim('PATCH', `/Users/${user}`, patch({ op: 'replace', path: 'active', value: false }));
  expect(await world.peek('us-1', 'select from security_event_deliveries')).toHaveLength(0);
});
