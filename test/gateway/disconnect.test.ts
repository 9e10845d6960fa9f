import { describe, expect, it, vi } from 'vitest';
import { openHouse } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';
import { untilRunning } from '../support/statements.ts';

const waiting = `select from pg_stat_activity where usename = 'tenon_app' and state = 'active' and query ~ 'projects'`;

describe.each(['local', 'remote'] as const)('a client of a gateway whose subgraphs are %s', (mode) => {
  it('who closes her connection ends the statement in the database', async () => {
    const house = await openHouse({ mode });
    await withClient(house.stores.url('eu-1'), async (other) => {
      await other.query('begin');
      await other.query('lock table app.projects in access exclusive mode');
      const client = new AbortController();
      const answer = house.fetch(house.acme.admin, '/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: '{ projects(first: 1) { edges { node { id } } } }' }),
        signal: client.signal,
      });
      const gone = expect(answer).rejects.toThrow('aborted');
      await untilRunning(house.stores, 'projects');
      client.abort();
      await gone;
      // The lock is still held: the statement did not end by itself.
      // Within a transaction the view shows what it showed first.
      await withClient(house.stores.url('eu-1'), (watcher) =>
        vi.waitFor(async () => expect((await watcher.query(waiting)).rowCount).toBe(0), {
          interval: 5,
          timeout: 5_000,
        }),
      );
      await other.query('rollback');
    });
  });
});
