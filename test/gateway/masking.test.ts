import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { post } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';

const houses = [await openHouse({ mode: 'local' }), await openHouse({ mode: 'remote' })] as const;

const logged: string[] = [];
beforeAll(() => {
  vi.spyOn(process.stderr, 'write').mockImplementation((line) => logged.push(String(line)) > 0);
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** The errors that the log holds under a request id. */
function loggedFor(requestId: string | null): { message: string; level: string }[] {
  return logged
    .map((line) => JSON.parse(line) as { requestId?: string; message: string; level: string })
    .filter((line) => line.requestId === requestId);
}

describe.each([
  ['local', houses[0]],
  ['remote', houses[1]],
] as const)('a fault inside, with %s subgraphs,', (_mode, house) => {
  beforeAll(async () => {
    await withClient(house.stores.url('us-1'), (client) =>
      client.query('alter table app.projects rename to projects_gone'),
    );
  });

  it.each(['new', 'known'])(
    'shows the caller of a %s operation a request id alone, leaves the rest of the answer whole, and is in the log',
    async () => {
      const query = '{ tenant { slug } project(id: "prj_00000000000000000000000000") { name } }';
      const { status, headers, body, text } = await post(house, house.globex.member, { body: { query } });
      const requestId = headers.get('x-request-id');
      expect([status, body.data]).toEqual([200, { tenant: { slug: 'globex' }, project: null }]);
      expect(body.errors).toEqual([
        {
          message: 'Something failed inside; the request id finds it in the logs.',
          path: ['project'],
          extensions: { code: 'INTERNAL_SERVER_ERROR', requestId },
        },
      ]);
      expect(text).not.toMatch(/relation|projects_gone|select|stack/i);
      expect(loggedFor(requestId)).toEqual([
        expect.objectContaining({ level: 'error', message: expect.stringMatching(/projects.*does not exist/) }),
      ]);
    },
  );

  it('is found by the id that the caller gave her request', async () => {
    const headers = { 'x-request-id': 'trace-me-1' };
    const query = 'mutation { createProject(input: { name: "lost" }) { project { id } } }';
    for (const time of [1, 2]) {
      const answer = await post(house, house.globex.member, { body: { query }, headers });
      expect(answer.headers.get('x-request-id')).toBe('trace-me-1');
      expect(answer.body).toMatchObject({
        data: null,
        errors: [{ path: ['createProject'], extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: 'trace-me-1' } }],
      });
      expect(loggedFor('trace-me-1').length).toBe(time);
    }
    logged.length = 0;
  });
});
