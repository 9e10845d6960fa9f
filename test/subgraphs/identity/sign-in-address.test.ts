import { beforeAll, describe, expect, it } from 'vitest';
import { userHandleOf } from '../../../subgraphs/identity/sign-in/passkey-response.ts';
import { openHouse, type House } from '../../support/house.ts';
import { outboxEvents } from '../../support/outbox.ts';
import { withClient } from '../../support/postgres.ts';
import { newPasskey, type RequestOptions } from './software-authenticator.ts';

const CLIENT = '203.0.113.99';

/** Fails a sign-in as if through balancers, and returns the address that is counted against and stands in the log. */
async function countedAddress(house: House, forwardedFor: string): Promise<string[]> {
  const post = (path: string, body: object) =>
    house.fetch(null, path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': forwardedFor },
      body: JSON.stringify(body),
    });
  const options = (await (await post('/sso/passkey/options', {})).json()) as RequestOptions;
  const { data } = await house.graphql(house.acme.member, '{ viewer { user { id } } }');
  const { user } = (data as unknown as { viewer: { user: { id: `usr_${string}` } } }).viewer;
  const tenant = house.acme.id as `tnt_${string}`;
  const userHandle = Buffer.from(userHandleOf({ tenant, userId: user.id })).toString('base64url');
  const credential = newPasskey('http://tenon.test').get(options, { userHandle });
  expect((await post('/sso/passkey', { credential })).status).toBe(401);
  return withClient(house.stores.url('eu-1'), async (client) => {
    const counted = await client.query('delete from app.sign_in_attempts where user_id is null returning subject');
    const events = (await outboxEvents(house, 'acme')).filter(({ action }) => action === 'sign_in.refuse');
    const ip = events.at(-1)?.actor.ip;
    return [counted.rows[0]?.subject, typeof ip === 'string' ? ip : 'none'];
  });
}

describe('the address that failed sign-ins count against', () => {
  it('is that of the connection, whatever a client says, where no proxy is trusted', async () => {
    const house = await openHouse();
    expect(await countedAddress(house, CLIENT)).toEqual(['127.0.0.1', '127.0.0.1']);
  });

  describe.each(['local', 'remote'] as const)('behind trusted proxies, with subgraphs that are %s,', (mode) => {
    let house: House;
    beforeAll(async () => {
      house = await openHouse({ mode, env: { TENON_TRUSTED_PROXIES: '127.0.0.0/8, 10.1.0.0/16' } });
    });

    it('is that of the client', async () => {
      expect(await countedAddress(house, `${CLIENT}, 10.1.2.3`)).toEqual([CLIENT, CLIENT]);
    });

    it('is not one that the client has written in front of it', async () => {
      expect(await countedAddress(house, `198.51.100.1, ${CLIENT}, 10.1.2.3`)).toEqual([CLIENT, CLIENT]);
    });
  });
});
