import type { Client } from 'pg';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { issueCredential, systemContext } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import { openHouse, type House } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';
import { untilRunning } from '../support/statements.ts';

/** Promised from the commit to the end of what is under way. */
const MOST_MS = 1_000;
const PROJECTS = '{ projects(first: 1) { edges { node { id } } } }';
const SIGN_OUT = 'mutation { signOut { signedOut } }';

describe.each(['local', 'remote'] as const)('what is under way with %s subgraphs', (mode) => {
  let house: House;
  let mia: Id<'usr'>;
  let otto: Id<'usr'>;
  beforeAll(async () => {
    house = await openHouse({ mode });
    [mia, otto] = [await userOf('mia'), await userOf('otto')];
  });
  let token: string;
  beforeEach(async () => {
    await inAcme((tx) => tx.query('update users set active = true'));
    token = await signIn(mia);
  });

  it('of a person ends with her access, while the statement still waits', async () => {
    await whileLocked('projects', async () => {
      const answer = house.graphql(token, PROJECTS);
      await untilRunning(house.stores, 'projects');
      const startedMs = performance.now();
      await deactivate(mia);
      expect((await answer).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
      expect(performance.now() - startedMs).toBeLessThan(MOST_MS);
    });
  });

  it('with a session ends with the session, and with the others of the person it goes on', async () => {
    const other = await signIn(mia);
    const { answers } = await whileLocked('projects', async () => {
      const asked = [house.graphql(token, PROJECTS), house.graphql(other, PROJECTS)];
      await untilRunning(house.stores, 'projects');
      expect((await house.graphql(token, SIGN_OUT)).data).toEqual({ signOut: { signedOut: true } });
      expect((await asked[0])?.errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
      return { answers: asked };
    });
    expect((await answers[1])?.errors).toBeUndefined();
  });

  it('ends with the right that it was let in by', async () => {
    await whileLocked('projects', async () => {
      const answer = house.graphql(token, PROJECTS);
      await untilRunning(house.stores, 'projects');
      await inAcme((tx) =>
        tx.query(`update roles set scopes = array_remove(scopes, 'projects:read') where name = 'member'`),
      );
      expect((await answer).errors?.[0]?.extensions.code).toBe('FORBIDDEN');
    });
    await inAcme((tx) => tx.query(`update roles set scopes = scopes || array['projects:read'] where name = 'member'`));
  });

  it('as an export is cut off', async () => {
    const reading = await signIn(otto);
    await withClient(house.stores.url('eu-1 audit'), async (other) => {
      await other.query('begin');
      await other.query('lock table app.log_heads in access exclusive mode');
      const text = house.fetch(reading, '/v1/audit/events.ndjson').then((response) => response.text());
      const ended = text.then(
        () => 'answered',
        () => 'cut off',
      );
      await untilRunning(house.stores, 'log_heads', 'eu-1 audit');
      const startedMs = performance.now();
      await deactivate(otto);
      expect(await ended).toBe('cut off');
      expect(performance.now() - startedMs).toBeLessThan(MOST_MS);
      await other.query('rollback');
    });
  });

  it('of somebody else goes on, and so does what comes later', async () => {
    const { answer } = await whileLocked('projects', async () => {
      const asked = house.graphql(house.acme.admin, PROJECTS);
      await untilRunning(house.stores, 'projects');
      const hers = house.graphql(token, PROJECTS);
      await deactivate(mia);
      expect((await hers).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
      return { answer: asked };
    });
    expect((await answer).errors).toBeUndefined();
  });

  async function whileLocked<T>(table: string, work: (other: Client) => Promise<T>): Promise<T> {
    return withClient(house.stores.url('eu-1'), async (other) => {
      await other.query('begin');
      await other.query(`lock table app.${table} in access exclusive mode`);
      const result = await work(other);
      await other.query('rollback');
      return result;
    });
  }

  async function userOf(name: string): Promise<Id<'usr'>> {
    const rows = await inAcme((tx) =>
      tx.query<{ id: string }>('select id from users where user_name like $1', [`${name}@%`]),
    );
    return idOf('usr', rows[0]?.id ?? '');
  }

  async function deactivate(user: Id<'usr'>): Promise<void> {
    await inAcme((tx) =>
      tx.query('update users set active = false, epoch = epoch + 1 where id = $1', [uuidOf('usr', user)]),
    );
  }

  function signIn(userId: Id<'usr'>): Promise<string> {
    const expiresAt = new Date(Date.now() + 600_000);
    return inAcme(async (tx) => {
      const wanted = { kind: 'session', userId, name: 'x', expiresAt } as const;
      return (await issueCredential(tx, house.acme.id as Id<'tnt'>, wanted)).token;
    });
  }

  async function inAcme<T>(work: (tx: TenantTransaction) => Promise<T>): Promise<T> {
    const purpose = { name: 'test', requestId: 'req_t' };
    const tenant = await systemContext(house.databases, house.acme.id as Id<'tnt'>, purpose);
    return inTenant({ tenant, databases: house.databases }, work);
  }
});
