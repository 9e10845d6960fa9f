import { beforeAll, describe, expect, test } from 'vitest';
import type { RequestContext } from '#kit/request-context.ts';
import { ask, nextRequest, openBilling, record, usage, type BillingPlatform } from './billing-platform.ts';

let house: BillingPlatform;
let acme: RequestContext;

beforeAll(async () => {
  house = await openBilling();
  acme = await house.addTenant('acme', 'ENTERPRISE');
});

describe('the mutation recordUsage', () => {
  const RECORD =
    'mutation ($input: RecordUsageInput!) { recordUsage(input: $input) { accepted duplicates auditEventId } }';

  test('stores what the REST door would store', async () => {
    const event = {
      metric: 'tokens_used',
      value: 1284,
      timestamp: '2026-05-04T10:33:21Z',
      idempotency: 'graph',
      metadata: { model: 'gpt-5' },
    };
    const answer = await ask(acme, RECORD, { input: { events: [event] } });
    expect(answer).toEqual({
      data: { recordUsage: { accepted: 1, duplicates: 0, auditEventId: expect.stringMatching(/^aud_/) as string } },
    });
    expect(await record(acme, [usage('graph', { metadata: { model: 'gpt-5' } })])).toMatchObject({
      accepted: 0,
      duplicates: 1,
    });
  });

  test('keeps a literal beyond the range of doubles', async () => {
    const literal =
      'value: 9007199254740993.1, metric: "tokens_used", timestamp: "2026-05-04T10:33:21Z", idempotency: "literal"';
    await ask(acme, `mutation { recordUsage(input: { events: [{ ${literal} }] }) { accepted } }`);
    expect((await house.stored(acme, 'literal')).map((row) => row.value)).toEqual(['9007199254740993.1']);
  });

  test.each([
    ['BAD_USER_INPUT', { value: '-1' }, 'input.events[0].value takes'],
    ['BAD_USER_INPUT', { value: 9007199254740992 }, 'Decimal takes a decimal number as a string'],
    ['BAD_USER_INPUT', { userId: 'usr_x' }, 'input.events[0].userId takes'],
    ['BAD_USER_INPUT', { metadata: { model: 5 } }, 'input.events[0].metadata takes'],
    ['UNKNOWN_METRIC', { metric: 'bytes' }, 'input.events[0].metric takes one of'],
  ])('answers %s for %j', async (code, change, hint) => {
    const event = {
      metric: 'tokens_used',
      value: '1',
      timestamp: '2026-05-04T10:33:21Z',
      idempotency: 'bad',
      ...change,
    };
    const { data, errors } = await ask(acme, RECORD, { input: { events: [event] } });
    expect(data?.['recordUsage']).toBeUndefined();
    expect(errors?.[0]?.extensions?.['code']).toBe(code);
    expect(errors?.[0]?.message).toContain(hint);
    expect(await house.stored(acme, 'bad')).toHaveLength(0);
  });

  test('needs the right to report usage, in a tenant that may write', async () => {
    const input = {
      events: [{ metric: 'tokens_used', value: '1', timestamp: '2026-05-04T10:33:21Z', idempotency: 'no-right' }],
    };
    const codes = [];
    for (const change of [{ scopes: [] }, { state: 'read_only' as const }]) {
      const { errors } = await ask(nextRequest(acme, change), RECORD, { input });
      codes.push(errors?.[0]?.extensions?.['code']);
    }
    expect(codes).toEqual(['FORBIDDEN', 'TENANT_READ_ONLY']);
    expect(await house.stored(acme, 'no-right')).toHaveLength(0);
  });
});

describe('POST /v1/usage', () => {
  let url: string;

  beforeAll(async () => {
    url = `${await house.serve(acme)}/v1/usage`;
  });

  test.each([
    { type: 'application/json', form: 'an object', bodyOf: (key: string) => JSON.stringify(usage(key)), count: 1 },
    {
      type: 'application/json; charset=utf-8',
      form: 'an array',
      bodyOf: (key: string) => JSON.stringify([usage(`${key}-1`), usage(`${key}-2`)]),
      count: 2,
    },
    {
      type: 'application/x-ndjson',
      form: 'lines',
      bodyOf: (key: string) => `${JSON.stringify(usage(`${key}-1`))}\r\n\n${JSON.stringify(usage(`${key}-2`))}\n`,
      count: 2,
    },
  ])('takes $form of $type', async ({ type, form, bodyOf, count }) => {
    const body = bodyOf(`rest-${form.replace(' ', '-')}`);
    const first = await post(type, body);
    expect([first.status, await first.json()]).toEqual([200, { accepted: count, duplicates: 0 }]);
    const second = await post(type, body);
    expect([second.status, await second.json()]).toEqual([200, { accepted: 0, duplicates: count }]);
  });

  test.each([
    { body: '{', code: 'BAD_REQUEST', hint: 'The body is not JSON.' },
    { body: '', code: 'BAD_REQUEST', hint: 'The body is not JSON.' },
    { body: Uint8Array.of(0x22, 0xff, 0x22), code: 'BAD_REQUEST', hint: 'It is not UTF-8.' },
    { body: '[]', code: 'BAD_USER_INPUT', hint: 'There is no event in it.' },
    { body: '7', code: 'BAD_USER_INPUT', hint: 'event is not an object.' },
    { body: `[${Array.from({ length: 1001 }, () => '{}').join(',')}]`, code: 'PAYLOAD_TOO_LARGE', hint: '1000 events' },
    {
      body: JSON.stringify(usage('rounded')).replace('1284', '1284.00000000000000000001'),
      code: 'BAD_USER_INPUT',
      hint: 'event.value takes',
    },
    {
      body: JSON.stringify([usage('unknown', { metric: 'bytes' })]),
      code: 'UNKNOWN_METRIC',
      hint: 'events[0].metric takes one of',
    },
    {
      body: JSON.stringify([usage('rest-fine'), usage('rest-bad', { value: -5 })]),
      code: 'BAD_USER_INPUT',
      hint: 'events[1].value takes',
    },
  ])('refuses JSON with $code: $hint', async ({ body, code, hint }) => {
    expect(await problemOf(await post('application/json', body))).toEqual({
      status: statusOf(code),
      code,
      title: expect.stringContaining(hint) as string,
    });
    expect(await house.stored(acme, 'rest-fine')).toHaveLength(0);
  });

  test.each([
    { body: '{}\n'.repeat(1001), code: 'PAYLOAD_TOO_LARGE', hint: '1000 events' },
    { body: '\n{}\n{', code: 'BAD_REQUEST', hint: 'Line 3 is not JSON.' },
    { body: '\n\n{}', code: 'BAD_USER_INPUT', hint: 'line 3: metric takes the name of a metric.' },
    { body: '\n', code: 'BAD_USER_INPUT', hint: 'There is no event in it.' },
  ])('refuses NDJSON with $code: $hint', async ({ body, code, hint }) => {
    expect(await problemOf(await post('application/x-ndjson', body))).toEqual({
      status: statusOf(code),
      code,
      title: expect.stringContaining(hint) as string,
    });
  });

  test('refuses what is neither JSON nor NDJSON', async () => {
    expect(await problemOf(await post('text/plain', '{}'))).toMatchObject({
      status: 415,
      code: 'UNSUPPORTED_MEDIA_TYPE',
    });
  });

  test('answers 409 for a key that means another event', async () => {
    await post('application/json', JSON.stringify(usage('rest-taken')));
    const body = JSON.stringify([usage('rest-new'), usage('rest-taken', { value: 1 })]);
    expect(await problemOf(await post('application/json', body))).toMatchObject({
      status: 409,
      code: 'IDEMPOTENCY_CONFLICT',
    });
    expect(await house.stored(acme, 'rest-new')).toHaveLength(0);
  });

  test('needs the right to report usage', async () => {
    const closed = await house.serve(nextRequest(acme, { scopes: ['billing:read'] }));
    const response = await fetch(`${closed}/v1/usage`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(usage('rest-right')),
    });
    expect(response.status).toBe(403);
    expect(await house.stored(acme, 'rest-right')).toHaveLength(0);
  });

  function post(type: string, body: string | Uint8Array<ArrayBuffer>): Promise<Response> {
    return fetch(url, { method: 'POST', headers: { 'content-type': type }, body });
  }
});

interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
}

async function problemOf(response: Response): Promise<Problem> {
  expect(response.headers.get('content-type')).toContain('application/problem+json');
  const { code, title } = (await response.json()) as Problem;
  return { status: response.status, code, title };
}

function statusOf(code: string): number {
  return code === 'PAYLOAD_TOO_LARGE' ? 413 : 400;
}
