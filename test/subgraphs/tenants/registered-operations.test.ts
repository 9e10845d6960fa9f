import { describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { provisionTenant, type ProvisionedTenant } from '../../../subgraphs/tenants/provisioning.ts';
import {
  apolloManifest,
  change,
  OPERATION_MUTATIONS,
  type Registered,
  type ShownOperation,
} from './operations-fixture.ts';
import { ask, codeOf, inputOf, openTenants, ORIGIN, requestOf } from './tenants-platform.ts';

const PROJECTS = 'query Projects($first: Int! = 20) { projects(first: $first) { edges { node { id name } } } }';
const OWN = 'query Own { tenant { id slug } }';
const FIXED = 'query Fixed { projects(first: 5) { edges { node { id } } } }';
const CREATE = 'mutation Create($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }';
const LIST =
  'query ($client: String, $state: OperationState, $first: Int! = 20, $after: String) { registeredOperations(client: $client, state: $state, first: $first, after: $after) { edges { node { id name client state } } pageInfo { hasNextPage endCursor } } }';

const house = await openTenants();
const acme = await provisionTenant(house.platform, inputOf('acme', { state: 'active' }), ORIGIN);
const globex = await provisionTenant(house.platform, inputOf('globex', { state: 'active' }), ORIGIN);

const allScopes = Object.keys(SCOPES) as Scope[];
const as = (tenant: ProvisionedTenant, more: Partial<TenantContext> = {}) =>
  requestOf(house.platform, tenant.context, { scopes: allScopes, ...more });
const key = () => ({ type: 'api_key', id: mintId('key'), ip: null, ua: null }) as const;
const register = (client: string, bodies: readonly string[], more: object = {}, tenant = acme) =>
  change<Registered>(as(tenant), 'registerOperations', { client, manifest: apolloManifest(bodies), ...more });
const list = async (tenant: ProvisionedTenant, variables: object) => {
  const { data } = await ask(as(tenant), LIST, { ...variables });
  return (
    data as {
      registeredOperations: {
        edges: { node: ShownOperation }[];
        pageInfo: { endCursor: string; hasNextPage: boolean };
      };
    }
  ).registeredOperations;
};
const namesOf = async (variables: object, tenant = acme) =>
  (await list(tenant, variables)).edges.map(({ node }) => node.name);
let clients = 0;
/** A client that no other test has. */
const newClient = () => `client-${++clients}`;

describe('registering a manifest', () => {
  it('fixes what each operation may cost: its estimate, or where variables change that what the tier allows', async () => {
    const { operations, registered } = await register(newClient(), [PROJECTS, OWN, FIXED, CREATE]);
    expect(registered).toBe(4);
    expect(operations.map(({ name, state, maxCost }) => [name, state, maxCost])).toEqual([
      ['Projects', 'PENDING', 1_000],
      ['Own', 'PENDING', 1],
      ['Fixed', 'PENDING', 11],
      ['Create', 'PENDING', 1_000],
    ]);
  });

  it('takes a lower ceiling from the manifest, and refuses one below the estimate', async () => {
    const client = newClient();
    const manifest = apolloManifest([PROJECTS], { maxCost: 60 });
    const { operations } = await change<Registered>(as(acme), 'registerOperations', { client, manifest });
    expect(operations[0]?.maxCost).toBe(60);
    const low = apolloManifest([FIXED], { maxCost: 10 });
    await expect(change(as(acme), 'registerOperations', { client, manifest: low })).rejects.toThrow(
      /^BAD_USER_INPUT: .*Fixed .*estimated at 11 points, at most 10 are allowed/,
    );
  });

  it('reads Relay manifests too, and knows the same operations again', async () => {
    const client = newClient();
    const relay = JSON.stringify([[`sha256:${sha256Hex(OWN)}`, OWN]]);
    const first = await change<Registered>(as(acme), 'registerOperations', { client, manifest: relay });
    const again = await register(client, [OWN]);
    expect([first.registered, again.registered]).toEqual([1, 0]);
    expect(again.manifestFingerprint).toBe(first.manifestFingerprint);
    expect(again.operations).toEqual(first.operations);
  });

  it('names every bad operation and stores none', async () => {
    const client = newClient();
    const aliases = `query Aliases { tenant { ${Array.from({ length: 60 }, (_, index) => `a${index}: id`).join(' ')} } }`;
    const dear =
      'query Dear { projects(first: 100) { edges { node { documents(first: 100) { edges { node { id } } } } } } }';
    const manifest = apolloManifest([OWN, aliases, dear, 'query Gone { tenant { secret } }', 'query Cut { tenant {']);
    const refusal = change(as(acme), 'registerOperations', { client, manifest });
    await expect(refusal).rejects.toThrow(/^BAD_USER_INPUT: /);
    await expect(refusal).rejects.toThrow(/Aliases .*aliases than allowed/);
    await expect(refusal).rejects.toThrow(/Dear .*estimated at 2\d{4} points, at most 1000 are allowed/);
    await expect(refusal).rejects.toThrow(/Gone .*Cannot query field "secret"/);
    await expect(refusal).rejects.toThrow(/Cut .*Syntax Error/);
    await expect(refusal).rejects.not.toThrow(/Own/);
    expect(await namesOf({ client })).toEqual([]);
  });

  it('refuses another document under an id that is taken, and leaves the first', async () => {
    const client = newClient();
    const manifest = (body: string) => JSON.stringify({ own: body });
    await change(as(acme), 'registerOperations', { client, manifest: manifest(OWN) });
    await expect(change(as(acme), 'registerOperations', { client, manifest: manifest(FIXED) })).rejects.toThrow(
      /^CONFLICT: .*"own".*taken by another document/,
    );
    expect(await namesOf({ client })).toEqual(['Own']);
  });

  it.each([
    ['no JSON', '{', /not JSON/],
    ['nothing in it', '{}', /holds no operation/],
    [
      'two operations in a document',
      JSON.stringify({ a: 'query A { tenant { id } } query B { tenant { id } }' }),
      /it takes one/,
    ],
    ['the operation of another client', apolloManifest([OWN], { clientName: 'other' }), /belongs to another client/],
  ])('refuses a manifest with %s', async (_, manifest, reason) => {
    const refusal = change(as(acme), 'registerOperations', { client: newClient(), manifest });
    await expect(refusal).rejects.toThrow(reason);
  });

  it('refuses a time that has passed and a client with another name than a key can have', async () => {
    await expect(register(newClient(), [OWN], { expiresAt: '2020-01-01T00:00:00Z' })).rejects.toThrow(
      /^BAD_USER_INPUT/,
    );
    await expect(register('No Client', [OWN])).rejects.toThrow(/^BAD_USER_INPUT/);
  });
});

describe('the life of an operation', () => {
  it('goes from pending to approved to revoked and back to pending, each step in the audit log', async () => {
    const client = newClient();
    const first = await register(client, [OWN]);
    const ids = first.operations.map(({ id }) => id);
    const approver = as(acme);
    const { operations: approved } = await change<Registered>(approver, 'approveOperations', {
      manifest: first.manifestFingerprint,
    });
    expect(approved).toMatchObject([{ id: ids[0], state: 'APPROVED', approvedBy: approver.tenant.actor.id }]);
    expect((await register(client, [OWN])).operations[0]?.state).toBe('APPROVED');
    const { operations: revoked } = await change<Registered>(as(acme), 'revokeOperations', { ids });
    expect(revoked[0]?.state).toBe('REVOKED');
    await expect(change(as(acme), 'approveOperations', { ids })).rejects.toThrow(/^CONFLICT: .*opr_/);
    expect((await register(client, [OWN])).operations).toMatchObject([
      { id: ids[0], state: 'PENDING', approvedBy: null },
    ]);
    const events = (await house.events(acme.tenant.id)).filter(({ resource }) => resource.id === ids[0]);
    expect(events.map(({ action }) => action)).toEqual([
      'operation.register',
      'operation.approve',
      'operation.revoke',
      'operation.register',
    ]);
    expect(events[1]).toMatchObject({
      actor: { id: approver.tenant.actor.id },
      resource: { type: 'registered_operation', name: 'Own' },
      context: {
        client,
        document_id: sha256Hex(OWN),
        body_hash: sha256Hex(OWN),
        max_cost: 1,
        manifest: first.manifestFingerprint,
      },
    });
  });

  it('is not approved by the API key that registered it, but by another', async () => {
    const [registrar, approver] = [key(), key()];
    const client = newClient();
    const { operations } = await change<Registered>(as(acme, { actor: registrar }), 'registerOperations', {
      client,
      manifest: apolloManifest([OWN]),
    });
    const ids = operations.map(({ id }) => id);
    await expect(change(as(acme, { actor: registrar }), 'approveOperations', { ids })).rejects.toThrow(/^FORBIDDEN/);
    expect(await namesOf({ client, state: 'PENDING' })).toEqual(['Own']);
    await change(as(acme, { actor: approver }), 'approveOperations', { ids });
    expect(await namesOf({ client, state: 'APPROVED' })).toEqual(['Own']);
  });

  it('ends at the time that was set for it, and by itself when it expires', async () => {
    const client = newClient();
    house.setNow('2026-06-01T00:00:00Z');
    const { operations } = await register(client, [OWN, FIXED], { expiresAt: '2026-06-03T00:00:00Z' });
    const ids = operations.map(({ id }) => id);
    await change(as(acme), 'approveOperations', { ids });
    await expect(change(as(acme), 'scheduleRevocation', { ids, at: '2026-05-31T00:00:00Z' })).rejects.toThrow(
      /^BAD_USER_INPUT/,
    );
    await change(as(acme), 'scheduleRevocation', { ids: ids.slice(0, 1), at: '2026-06-02T00:00:00Z' });
    expect(await namesOf({ client, state: 'APPROVED' })).toEqual(['Fixed', 'Own']);
    house.setNow('2026-06-02T00:00:00Z');
    expect(await namesOf({ client, state: 'APPROVED' })).toEqual(['Fixed']);
    expect(await namesOf({ client, state: 'REVOKED' })).toEqual(['Own']);
    house.setNow('2026-06-03T00:00:00Z');
    await expect(change(as(acme), 'approveOperations', { ids: ids.slice(1) })).rejects.toThrow(/^CONFLICT/);
    expect((await register(client, [FIXED])).operations[0]?.state).toBe('PENDING');
  });

  it('is written with its audit events or not at all', async () => {
    const client = newClient();
    const broken = as(acme, { actor: { type: 'user', id: 'x'.repeat(5_000), ip: null, ua: null } });
    await expect(change(broken, 'registerOperations', { client, manifest: apolloManifest([OWN]) })).rejects.toThrow(
      /^AUDIT_EVENT_REFUSED/,
    );
    expect(await namesOf({ client })).toEqual([]);
  });

  it('is listed newest first, page by page', async () => {
    const client = newClient();
    await register(client, [OWN, FIXED, PROJECTS]);
    const first = await list(acme, { client, first: 2 });
    const second = await list(acme, { client, first: 2, after: first.pageInfo.endCursor });
    const names = [first, second].map(({ edges }) => edges.map(({ node }) => node.name));
    expect(names).toEqual([['Projects', 'Fixed'], ['Own']]);
  });
});

describe('who may', () => {
  const calls: [keyof typeof OPERATION_MUTATIONS, Scope, object][] = [
    ['registerOperations', 'operations:write', { client: 'roles', manifest: apolloManifest([OWN]) }],
    ['approveOperations', 'operations:approve', { ids: [mintId('opr')] }],
    ['revokeOperations', 'operations:approve', { ids: [mintId('opr')] }],
    ['scheduleRevocation', 'operations:approve', { ids: [mintId('opr')], at: '2030-01-01T00:00:00Z' }],
  ];

  it.each(calls)('%s needs %s', async (mutation, scope, input) => {
    const scopes = allScopes.filter((held) => held !== scope);
    const { errors } = await ask(as(acme, { scopes }), OPERATION_MUTATIONS[mutation], { input });
    expect(errors?.[0]?.extensions?.['code']).toBe('FORBIDDEN');
    expect(errors?.[0]?.message).toContain(scope);
  });

  it('registeredOperations needs tenant:read', async () => {
    const scopes = allScopes.filter((held) => held !== 'tenant:read');
    expect(codeOf(await ask(as(acme, { scopes }), LIST))).toBe('FORBIDDEN');
  });

  it('nothing is registered in a tenant that is read-only, and revoking still works', async () => {
    const { operations } = await register(newClient(), [OWN]);
    const state = 'read_only' as const;
    const input = { client: newClient(), manifest: apolloManifest([OWN]) };
    await expect(change(as(acme, { state }), 'registerOperations', input)).rejects.toThrow(/^TENANT_READ_ONLY/);
    const ids = operations.map(({ id }) => id);
    const { operations: revoked } = await change<Registered>(as(acme, { state }), 'revokeOperations', { ids });
    expect(revoked[0]?.state).toBe('REVOKED');
  });
});

describe("another tenant's operations", () => {
  it('cannot be seen, approved, revoked or scheduled, by id or by manifest, and her client of that name is another', async () => {
    const client = newClient();
    const hers = await register(client, [OWN]);
    const ids = hers.operations.map(({ id }) => id);
    expect(await namesOf({ client }, globex)).toEqual([]);
    for (const choice of [{ ids }, { manifest: hers.manifestFingerprint }]) {
      for (const mutation of ['approveOperations', 'revokeOperations', 'scheduleRevocation'] as const) {
        const input = mutation === 'scheduleRevocation' ? { ...choice, at: '2030-01-01T00:00:00Z' } : choice;
        await expect(change(as(globex), mutation, input)).rejects.toThrow(/^NOT_FOUND/);
      }
    }
    const own = await register(client, [OWN], {}, globex);
    expect(own.registered).toBe(1);
    expect(own.operations[0]?.id).not.toBe(ids[0]);
    expect(await namesOf({ client, state: 'PENDING' })).toEqual(['Own']);
  });
});
