import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import { countAlarms } from '../../compliance/alarm.ts';
import { acknowledge } from '../../compliance/platform/reconcile-turn.ts';
import { openCompletenessWorld, type CompletenessWorld, type Send } from './completeness-world.ts';

let world: CompletenessWorld;

beforeAll(async () => {
  world = await openCompletenessWorld();
});

beforeEach(async () => {
  await world.superuserOfTenants.query('truncate app.mutation_notes, app.outbox, app.sequenced_events');
  await world.superuserOfAudit.query(
    `truncate app.log_heads, app.log_entries, app.log_tiles, app.platform_events, app.platform_log, app.mutation_hours,
       app.mutation_totals, app.missing_events, app.log_alarms`,
  );
});

const CREATE_PROJECT = 'mutation P($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }';
const CREATE_USER = 'mutation U($input: CreateUserInput!) { createUser(input: $input) { user { id } } }';
const GRANT = 'mutation G($input: UserRoleInput!) { grantRole(input: $input) { user { id } } }';

let names = 0;
const name = (): string => `name-${(names += 1)}`;

const graphql = (send: Send, query: string, input: object) =>
  send(world.house.acme.admin, '/graphql', { body: { query, variables: { input } } });

async function createProject(send: Send): Promise<void> {
  const { body } = await graphql(send, CREATE_PROJECT, { name: name() });
  expect(body.errors).toBeUndefined();
}

async function createUser(send: Send): Promise<string> {
  const userName = `${name()}@acme.example`;
  const { body } = await graphql(send, CREATE_USER, { userName, displayName: 'N', email: userName });
  expect(body.errors).toBeUndefined();
  return (body.data as unknown as { createUser: { user: { id: string } } }).createUser.user.id;
}

async function scimUser(send: Send): Promise<void> {
  const userName = `${name()}@acme.example`;
  const { status } = await send(world.house.acme.scim, '/scim/v2/Users', {
    type: 'application/scim+json',
    body: { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName, displayName: 'S', active: true },
  });
  expect(status).toBe(201);
}

async function platformEvents(): Promise<{ type: string; detail: Record<string, unknown> }[]> {
  const { rows } = await world.audit.query<{ type: string; detail: string }>(
    'select type, detail from platform_events order by position',
  );
  return rows.map(({ type, detail }) => ({ type, detail: JSON.parse(detail) as Record<string, unknown> }));
}

async function alarm(): Promise<string | null | undefined> {
  const { rows } = await world.audit.query<{ alarm: string | null }>(
    `select coalesce(h.alarm, a.sentence) as alarm from log_heads h left join log_alarms a using (tenant_id)
      where tenant_id = $1`,
    [uuidOf('tnt', world.house.acme.id)],
  );
  return rows[0]?.alarm;
}

const notes = async () => (await world.tenants.query('select from mutation_notes')).rowCount;

describe('mutations that gateways let through', () => {
  it('have their event each, whether GraphQL and SCIM write by turns', async () => {
    await world.served(async (send) => {
      for (let round = 0; round < 3; round++) {
        await createProject(send);
        await scimUser(send);
        await createUser(send);
      }
    });
    expect(await notes()).toBe(6);
    await world.sequenceAll();
    const report = await world.reconcile();
    expect(report.missing).toEqual([]);
    expect(report.hours).toMatchObject([{ tenant: world.house.acme.id, mutations: 6, events: 6 }]);
    expect(report.waiting).toBe(0);
    expect(await notes()).toBe(0);
    expect(await alarm()).toBeNull();
    const reconciled = (await platformEvents()).filter(({ detail }) => detail['mutations'] !== 0);
    expect(reconciled).toMatchObject([
      { type: 'completeness.reconciled', detail: { tenants: 1, mutations: 6, events: 6 } },
    ]);
  });

  it('raise an alarm where an event was removed, which names it', async () => {
    await world.served(async (send) => {
      await createProject(send);
      await createUser(send);
    });
    const { rows } = await world.superuserOfTenants.query<{ request: string }>(
      `delete from app.outbox where event::jsonb ->> 'action' = 'user.create' returning event::jsonb ->> 'request_id' as request`,
    );
    await world.sequenceAll();
    const report = await world.reconcile();
    const lost = { action: 'user.create', requestId: rows[0]?.request, mutations: 1, events: 0 };
    expect(report.missing).toMatchObject([{ tenant: world.house.acme.id, ...lost }]);
    expect(report.hours).toMatchObject([{ mutations: 2, events: 1 }]);
    expect(await alarm()).toMatch(/left no event/);
    const events = await platformEvents();
    expect(events.find(({ type }) => type === 'completeness.missing')).toMatchObject({
      detail: { tenant: world.house.acme.id, action: 'user.create', request_id: rows[0]?.request },
    });
  });

  it('are counted one by one where one request holds several', async () => {
    const query = `mutation { a: createProject(input: {name: "${name()}"}) { project { id } }
      b: createProject(input: {name: "${name()}"}) { project { id } } }`;
    await world.served(async (send) => {
      const { body } = await send(world.house.acme.admin, '/graphql', { body: { query } });
      expect(body.errors).toBeUndefined();
    });
    await world.superuserOfTenants.query(
      `delete from app.outbox where position = (select max(position) from app.outbox where event::jsonb ->> 'action' = 'project.create')`,
    );
    await world.sequenceAll();
    const report = await world.reconcile();
    expect(report.missing).toMatchObject([{ action: 'project.create', mutations: 2, events: 1 }]);
  });

  it('that found nothing to change leave an event that says so', async () => {
    await world.served(async (send) => {
      const userId = await createUser(send);
      const { body } = await send(world.house.acme.admin, '/graphql', {
        body: { query: '{ roles { id name } }' },
      });
      const { roles } = body.data as unknown as { roles: { id: string; name: string }[] };
      const roleId = roles.find((role) => role.name === 'member')?.id;
      for (let again = 0; again < 3; again++) {
        const granted = await graphql(send, GRANT, { userId, roleId });
        expect(granted.body.errors).toBeUndefined();
      }
    });
    await world.sequenceAll();
    const report = await world.reconcile();
    expect(report.missing).toEqual([]);
    expect(report.hours).toMatchObject([{ mutations: 4, events: 4 }]);
    const { rows } = await world.audit.query<{ action: string; count: string }>(
      `select action, count(*) as count from log_entries where action in ('role.grant', 'mutation.unchanged') group by 1 order by 1`,
    );
    expect(rows).toEqual([
      { action: 'mutation.unchanged', count: '2' },
      { action: 'role.grant', count: '1' },
    ]);
  });

  it('are not counted where they answered with an error', async () => {
    await world.served(async (send) => {
      const { body } = await graphql(send, GRANT, {
        userId: 'usr_00000000000000000000000000',
        roleId: 'rol_00000000000000000000000000',
      });
      expect(body.errors).toHaveLength(1);
    });
    expect(await notes()).toBe(0);
  });

  it('wait while their event waits in the outbox, and with them their hour', async () => {
    await world.served(createProject);
    const waiting = await world.reconcile();
    expect(waiting).toMatchObject({ missing: [], hours: [] });
    expect(await notes()).toBe(1);
    await world.sequenceAll();
    expect(await world.reconcile()).toMatchObject({ missing: [], hours: [{ mutations: 1, events: 1 }], waiting: 0 });
  });

  it('are not counted twice by a worker that ended before it had deleted the notes', async () => {
    await world.served(createProject);
    await world.sequenceAll();
    const dying = Object.assign(Object.create(world.tenants), {
      query: (text: string, ...rest: unknown[]) =>
        text.startsWith('delete from mutation_notes')
          ? Promise.reject(new Error('killed'))
          : world.tenants.query(text, rest[0] as unknown[]),
    });
    await expect(world.reconcile({ tenants: dying })).rejects.toThrow('killed');
    expect(await notes()).toBe(1);
    expect(await world.reconcile()).toMatchObject({ missing: [], hours: [{ mutations: 1, events: 1 }] });
    expect(await notes()).toBe(0);
  });

  it('end their alarm once the event is found', async () => {
    await world.served(createProject);
    await world.superuserOfTenants.query('create table public.kept as select * from app.outbox');
    await world.superuserOfTenants.query('truncate app.outbox');
    await world.reconcile();
    expect(await alarm()).toMatch(/left no event/);
    await world.superuserOfTenants.query(
      'insert into app.outbox overriding system value select * from public.kept; drop table public.kept',
    );
    await world.sequenceAll();
    expect(await world.reconcile()).toMatchObject({ missing: [], hours: [{ mutations: 1, events: 1 }] });
    expect(await alarm()).toBeNull();
  });
});

describe('a mutation without an event that somebody explains', () => {
  it('ends its alarm, stays in the books, and is told of in the platform log with the reason', async () => {
    await world.served(async (send) => {
      await createProject(send);
      await createUser(send);
    });
    await world.superuserOfTenants.query('truncate app.outbox');
    const [first, second] = (await world.reconcile()).missing;
    const explain = (requestId: string, reason: string) =>
      acknowledge(world.audit, { requestId, tenantId: null, reason, now: new Date() });
    expect(await explain('req_unknown', 'nothing')).toBe(0);
    expect(await explain(first?.requestId ?? '', 'ticket 7')).toBe(1);
    expect(await alarm()).toMatch(/left no event/);
    expect(await explain(second?.requestId ?? '', 'ticket 8')).toBe(1);
    expect(await alarm()).toBeNull();
    const report = await world.reconcile();
    expect(report.missing).toEqual([]);
    expect(report.acknowledged.map(({ reason }) => reason).toSorted()).toEqual(['ticket 7', 'ticket 8']);
    expect(report.hours).toMatchObject([{ mutations: 2, events: 0 }]);
    expect(await alarm()).toBeNull();
    const told = (await platformEvents()).filter(({ type }) => type === 'completeness.acknowledged');
    expect(told.map(({ detail }) => detail['reason'])).toEqual(['ticket 7', 'ticket 8']);
  });

  it('has its alarm, whatever is sealed meanwhile', async () => {
    await world.served(createProject);
    await world.superuserOfTenants.query('truncate app.outbox');
    await world.reconcile();
    await world.superuserOfAudit.query('update app.log_heads set alarm = null, alarm_since = null');
    expect(await alarm()).toMatch(/left no event/);
    expect(await countAlarms(world.audit)).toBe(1);
  });
});

describe('a mutation that was under way when its gateway was killed', () => {
  const unsure = () => world.superuserOfTenants.query('update app.mutation_notes set answered = false');

  it('counts where the log holds its event', async () => {
    await world.served(createProject);
    await unsure();
    await world.sequenceAll();
    expect(await world.reconcile()).toMatchObject({ missing: [], hours: [{ mutations: 1, events: 1 }] });
    expect((await platformEvents()).map(({ type }) => type)).not.toContain('completeness.unsettled');
  });

  it('waits while its event does', async () => {
    await world.served(createProject);
    await unsure();
    expect(await world.reconcile()).toMatchObject({ hours: [] });
    expect(await notes()).toBe(1);
  });

  it('is told of without an alarm where it left none, for nobody knows whether it was done', async () => {
    await world.served(async (send) => {
      await createProject(send);
      await createUser(send);
    });
    await world.superuserOfTenants.query(`update app.mutation_notes set answered = false where action = 'user.create'`);
    await world.superuserOfTenants.query(`delete from app.outbox where event::jsonb ->> 'action' = 'user.create'`);
    await world.sequenceAll();
    expect(await world.reconcile()).toMatchObject({ missing: [], hours: [{ mutations: 1, events: 1 }] });
    expect(await alarm()).toBeNull();
    expect((await platformEvents()).find(({ type }) => type === 'completeness.unsettled')).toMatchObject({
      detail: { tenant: world.house.acme.id, action: 'user.create', mutations: 1 },
    });
  });
});
