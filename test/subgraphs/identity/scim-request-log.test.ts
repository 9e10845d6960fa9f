import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mintId, uuidOf } from '#schema/ids.ts';
import { LOG_LIMITS } from '../../../subgraphs/identity/scim/request-log.ts';
import { openIdentity, patch, USER_URN, type IdentityPlatform } from './identity-platform.ts';
import { addPerson, connect, logOf, run, type TestConnection, END, HISTORY } from './scim-connection-world.ts';

let world: IdentityPlatform;
let connection: TestConnection;
let serial = 0;
beforeAll(async () => {
  world = await openIdentity();
});
beforeEach(async () => {
  serial += 1;
  connection = await connect(world.acme, { profile: 'entra', name: `connection ${serial}` });
});

const lastEvent = async (action: string) => (await world.acme.events()).findLast((event) => event.action === action);

describe('the log of a connection', () => {
  it('holds what was asked, changed and refused, and no value of it', async () => {
    const id = await addPerson(connection, `secret name ${serial}`);
    await connection.scim('PATCH', `/Users/${id}`, patch({ op: 'Replace', path: 'active', value: 'False' }));
    await connection.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'secretPath', value: 'secret value' }));
    await connection.scim('GET', `/Users?filter=${encodeURIComponent('secretName eq "x"')}`);
    await connection.scim('PATCH', '/Users', patch({ op: 'add', path: 'title', value: 'x' }));
    const log = await logOf(world.acme, connection.id);
    expect(log.map(({ method, path, status }) => [method, path, status])).toEqual([
      ['PATCH', '/Users', 405],
      ['GET', '/Users', 400],
      ['PATCH', '/Users/:id', 400],
      ['PATCH', '/Users/:id', 200],
      ['POST', '/Users', 201],
    ]);
    expect(log[2]).toMatchObject({
      resourceId: id,
      scimType: 'invalidPath',
      actions: [],
      reason: 'The path is not valid.',
    });
    expect(log[3]).toMatchObject({
      resourceId: id,
      actions: ['user.deactivate'],
      changedAttributes: ['active'],
      rewrites: [{ name: 'op_case' }, { name: 'string_boolean' }],
      tokenId: connection.tokenId,
    });
    const event = await lastEvent('user.deactivate');
    expect(event).toMatchObject({
      request_id: log[3]?.requestId,
      context: { rewrites: ['op_case', 'string_boolean'] },
    });
    const rows = await world.peek('eu-1', 'select to_json(r) as row from scim_requests r where connection_id = $1', [
      uuidOf('con', connection.id),
    ]);
    expect(JSON.stringify(rows)).not.toMatch(/secret/i);
    expect((await logOf(world.acme, connection.id, { refused: true })).map(({ status }) => status)).toEqual([
      405, 400, 400,
    ]);
    expect((await logOf(world.acme, connection.id, { changed: true })).map(({ method }) => method)).toEqual([
      'PATCH',
      'POST',
    ]);
    expect(await logOf(world.acme, connection.id, { resourceId: mintId('usr') })).toEqual([]);
  });

  it('holds each operation of a bulk request by itself', async () => {
    const data = { schemas: [USER_URN], userName: `bulk ${serial}` };
    const Operations = [
      { method: 'POST', path: '/Users', bulkId: 'a', data },
      { method: 'PATCH', path: '/Users/bulkId:a', data: patch({ op: 'Add', path: 'title', value: 'x' }) },
      { method: 'POST', path: '/Users', bulkId: 'b', data },
    ];
    await connection.scim('POST', '/Bulk', {
      schemas: ['urn:ietf:params:scim:api:messages:2.0:BulkRequest'],
      Operations,
    });
    const log = await logOf(world.acme, connection.id);
    const seen = log.map(({ method, path, status, rewrites }) => [
      method,
      path,
      status,
      rewrites.map(({ name }) => name),
    ]);
    expect(seen).toEqual([
      ['POST', '/Bulk', 200, []],
      ['POST', '/Users', 409, []],
      ['PATCH', '/Users/:id', 200, ['op_case']],
      ['POST', '/Users', 201, []],
    ]);
  });

  it('keeps a bounded number of requests, and none that is older than a month', async () => {
    const values = [uuidOf('tnt', world.acme.id), uuidOf('con', connection.id), LOG_LIMITS.requests + 50];
    await world.peek(
      'eu-1',
      `insert into scim_requests (tenant_id, id, connection_id, token_id, at, method, path, status, duration_ms, request_id)
       select $1, overlay(gen_random_uuid()::text placing '00' from 1 for 2)::uuid, $2, $2, now() - (case when n <= 10 then interval '31 days' else interval '0' end),
              'GET', '/Users', 200, 1, 'req_old' from generate_series(1, $3::int) as n`,
      values,
    );
    await connection.scim('GET', '/Users?count=0');
    const [newest] = await logOf(world.acme, connection.id);
    expect(newest?.requestId).not.toBe('req_old');
    const [row] = await world.peek<{ kept: number; old: number }>(
      'eu-1',
      `select count(*)::int as kept, count(*) filter (where at < now() - interval '30 days')::int as old from scim_requests where connection_id = $1`,
      values.slice(1, 2),
    );
    expect(row).toEqual({
      kept: expect.toSatisfy((kept: number) => kept <= LOG_LIMITS.requests && kept >= LOG_LIMITS.requests - 10),
      old: 0,
    });
  });
});

describe('the access of a person', () => {
  it('has a history that names the request which ended it, and how that was read', async () => {
    const id = await addPerson(connection, `history ${serial}`);
    await connection.scim('PATCH', `/Users/${id}`, patch({ op: 'Replace', path: 'active', value: 'False' }));
    await connection.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'active', value: true }));
    await logOf(world.acme, connection.id);
    await run(world.acme, END, { input: { userId: id } });
    const { user } = await run(world.acme, HISTORY, { id });
    const { accessHistory } = user as {
      accessHistory: { action: string; connectionId: string | null; request: unknown }[];
    };
    expect(accessHistory.map(({ action, connectionId }) => [action, connectionId])).toEqual([
      ['user.deactivate', null],
      ['user.reactivate', connection.id],
      ['user.deactivate', connection.id],
      ['user.provision', connection.id],
    ]);
    expect(accessHistory[2]?.request).toEqual({ rewrites: [{ name: 'op_case' }, { name: 'string_boolean' }] });
  });
});
