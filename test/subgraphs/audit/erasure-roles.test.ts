import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../../support/house.ts';
import { withClient } from '../../support/postgres.ts';

const ERASE = `mutation ($input: EraseSubjectInput!) {
  eraseSubject(input: $input) { erasure { id state basis request subject { id } certificateUrl } }
}`;
const USERS = '{ users(first: 50) { edges { node { id userName } } } viewer { user { id } } }';

let house: House;
let people: { id: string }[];
let self: string;

beforeAll(async () => {
  house = await openHouse();
  const { data } = await house.graphql(house.acme.admin, USERS);
  const shown = data as unknown as { users: { edges: { node: { id: string } }[] }; viewer: { user: { id: string } } };
  self = shown.viewer.user.id;
  people = shown.users.edges.map(({ node }) => node).filter(({ id }) => id !== self);
});

function erase(token: string, userId: string) {
  return house.graphql(token, ERASE, { input: { userId, basis: 'OBJECTION', request: 'DSR-1' } });
}

describe('erasing a person through the graph', () => {
  it.each(['member', 'auditor'] as const)('is refused to the %s', async (role) => {
    const { errors } = await erase(house.acme[role], people[0]?.id ?? '');
    expect(errors?.[0]?.extensions.code).toBe('FORBIDDEN');
  });

  it('is refused to an administrator of another tenant, as if the person were not there', async () => {
    const { errors } = await erase(house.initech.admin, people[0]?.id ?? '');
    expect(errors?.[0]?.extensions.code).toBe('NOT_FOUND');
  });

  it('is refused to whoever would erase herself', async () => {
    const { errors } = await erase(house.acme.admin, self);
    expect(errors?.[0]?.extensions.code).toBe('FORBIDDEN');
  });

  it('is done for an administrator, with an event that names the key and not the person', async () => {
    const [person] = people;
    const { data, errors } = await erase(house.acme.admin, person?.id ?? '');
    expect(errors).toBeUndefined();
    expect(data).toMatchObject({
      eraseSubject: { erasure: { state: 'REQUESTED', basis: 'objection', subject: { id: person?.id } } },
    });
    const text = JSON.stringify(data);
    const event = (await storedEvents()).find(({ action }) => action === 'subject.erased');
    expect(text).toContain(event?.id);
    expect(event?.resource).toEqual({ type: 'user', id: person?.id, name: null });
    expect(event?.context).toMatchObject({ basis: 'objection', request: 'DSR-1' });
  });
});

interface StoredEvent {
  readonly id: string;
  readonly action: string;
  readonly resource: object;
  readonly context: object;
}

/** As they are stored: those of the person herself can be opened no more. */
async function storedEvents(): Promise<StoredEvent[]> {
  const { rows } = await withClient(house.stores.url('eu-1'), (client) =>
    client.query<{ event: string }>('select event from app.outbox order by position'),
  );
  return rows.map(({ event }) => JSON.parse(event) as StoredEvent);
}
