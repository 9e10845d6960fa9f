import { beforeAll, describe, expect, it } from 'vitest';
import { uuidOf, type Id } from '#schema/ids.ts';
import { openHouse, type House } from '../../support/house.ts';
import { withClient } from '../../support/postgres.ts';

let house: House;

beforeAll(async () => {
  house = await openHouse();
});

interface StoredEvent {
  readonly action: string;
  readonly context: Readonly<Record<string, unknown>>;
}

/** What the tenant's log will hold of what somebody does, whatever he looked for. */
async function eventsOf(work: () => Promise<unknown>): Promise<{ events: StoredEvent[]; text: string }> {
  const read = () =>
    withClient(house.stores.url('eu-1'), (client) =>
      client.query<{ event: string }>('select event from app.outbox where tenant_id = $1 order by position', [
        uuidOf('tnt', house.acme.id as Id<'tnt'>),
      ]),
    );
  const before = (await read()).rows.length;
  await work();
  const texts = (await read()).rows.slice(before).map(({ event }) => event);
  return { events: texts.map((text) => JSON.parse(text) as StoredEvent), text: texts.join('\n') };
}

const SEARCH = `query ($filter: AuditFilter, $view: ID) {
  auditEvents(filter: $filter, view: $view) { edges { node { id action actionVersion } } }
}`;
const SAVE = `mutation ($input: CreateAuditViewInput!) { createAuditView(input: $input) { view { id } } }`;

describe('whoever reads the log from outside', () => {
  const secret = 'zanzibar@example.com';

  it.each([
    ['searches', 'search', () => house.graphql(house.acme.auditor, SEARCH, { filter: { text: secret } })],
    ['exports lines', 'export_ndjson', () => house.fetch(house.acme.auditor, `/v1/audit/events.ndjson?text=${secret}`)],
    ['exports a table', 'export_csv', () => house.fetch(house.acme.auditor, `/v1/audit/events.csv?text=${secret}`)],
  ])('and %s stands in it, with the field and without the words', async (_, door, read) => {
    const { events, text } = await eventsOf(async () => {
      const { status } = await read();
      expect(status).toBe(200);
    });
    expect(events.map(({ action, context }) => [action, context])).toEqual([
      ['audit.read', { door, filters: ['text'] }],
    ]);
    expect(text).not.toContain(secret);
  });

  it('by a view that was saved stands in it, and so does whoever saves one', async () => {
    let id = '';
    const saved = await eventsOf(async () => {
      const input = { name: secret, filter: { text: secret, actorId: ['usr_1'] } };
      const { data } = await house.graphql(house.acme.auditor, SAVE, { input });
      id = (data as unknown as { createAuditView: { view: { id: string } } }).createAuditView.view.id;
    });
    expect(saved.events.map(({ action, context }) => [action, context])).toEqual([
      ['audit_view.create', { shared: false, filters: ['actor_id', 'text'] }],
    ]);
    const used = await eventsOf(() => house.graphql(house.acme.auditor, SEARCH, { view: id }));
    expect(used.events.map(({ context }) => context)).toEqual([
      { door: 'search', filters: ['actor_id', 'text', 'view'] },
    ]);
    expect(saved.text + used.text).not.toContain(secret);
  });

  it('and is refused leaves a denial and no reading', async () => {
    const { events } = await eventsOf(() => house.graphql(house.acme.member, SEARCH, {}));
    expect(events.map(({ action }) => action)).toEqual(['request.deny']);
  });
});
