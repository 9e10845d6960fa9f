import { describe, expect, it } from 'vitest';
import { openHouse } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';

const houses = [await openHouse({ mode: 'local' }), await openHouse({ mode: 'remote' })] as const;

describe.each([
  ['local', houses[0]],
  ['remote', houses[1]],
] as const)('a fault inside, with %s subgraphs,', (_mode, house) => {
  it('shows a caller nothing but a request id, and leaves the rest of the answer whole', async () => {
    await withClient(house.stores.url('us-1'), (client) =>
      client.query('alter table app.projects rename to projects_gone'),
    );
    const answer = await house.graphql(
      house.globex.member,
      '{ tenant { slug } project(id: "prj_00000000000000000000000000") { name } }',
    );
    expect(answer.data).toEqual({ tenant: { slug: 'globex' }, project: null });
    expect(answer.errors).toEqual([
      {
        message: 'Something failed inside; the request id finds it in the logs.',
        path: ['project'],
        extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: answer.headers.get('x-request-id') },
      },
    ]);
    expect(JSON.stringify(answer)).not.toMatch(/relation|projects_gone|select|stack/i);
  });
});
