import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { mintId } from '#schema/ids.ts';
import { readUsageEvents, type UsageEvent } from '../../../subgraphs/billing/usage-event.ts';

const NOW = new Date('2026-05-04T12:00:00Z');
const TENANT = mintId('tnt');
const USER = mintId('usr');
const EVENT = {
  event_id: 'evt_01HRX2ABCDEFGHJKMNPQRSTVWX',
  tenant_id: TENANT,
  user_id: USER,
  metric: 'tokens_used',
  value: 1284,
  timestamp: '2026-05-04T10:33:21Z',
  idempotency: 'req_01HRX2',
  metadata: { model: 'gpt-5', feature: 'chat' },
};

describe('a usage event', () => {
  test('is read in the shape of the deck', () => {
    const [event] = read([EVENT]);
    expect(event).toEqual({
      index: 0,
      id: 'evt_01hrx2abcdefghjkmnpqrstvwx',
      userId: USER,
      metric: 'tokens_used',
      value: '1284',
      timestamp: '2026-05-04T10:33:21.000Z',
      idempotency: 'req_01HRX2',
      metadata: { model: 'gpt-5', feature: 'chat' },
      fingerprint: event?.fingerprint,
    });
    expect(event?.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  test('needs no event id, tenant, user or metadata', () => {
    const { metric, value, timestamp, idempotency } = EVENT;
    const [event] = read([{ metric, value, timestamp, idempotency }]);
    expect(event).toMatchObject({ userId: null, metadata: {} });
    expect(event?.id).toMatch(/^evt_[0-9a-z]{26}$/);
  });

  test.each([
    ['of another tenant', { tenant_id: mintId('tnt') }, 'events[0].tenant_id is not the tenant of this credential'],
    ['with an id of another kind', { event_id: USER }, 'events[0].event_id takes evt_'],
    ['with a user of another kind', { user_id: TENANT }, 'events[0].user_id takes the id of a user'],
    ['without a metric', { metric: undefined }, 'events[0].metric takes the name'],
    ['without a value', { value: undefined }, 'events[0].value takes a decimal number'],
    ['with a negative value', { value: -1 }, 'events[0].value'],
    ['with NaN', { value: Number.NaN }, 'events[0].value'],
    ['with NaN as text', { value: 'NaN' }, 'events[0].value'],
    ['with Infinity', { value: Number.POSITIVE_INFINITY }, 'events[0].value'],
    ['with more than 1e18', { value: '1000000000000000000.000000000001' }, 'events[0].value'],
    ['with a number that was rounded on the way', { value: 2 ** 53 }, 'events[0].value'],
    ['with an exponent as text', { value: '1e3' }, 'events[0].value'],
    ['with white space in its value', { value: ' 1' }, 'events[0].value'],
    ['with 13 decimals', { value: '0.0000000000001' }, 'events[0].value'],
    ['with half a seat', { metric: 'seats', value: 0.5 }, 'events[0].value takes a whole number'],
    ['with a list as value', { value: [1] }, 'events[0].value'],
    ['without a time', { timestamp: undefined }, 'events[0].timestamp takes a time'],
    ['with a day that no month has', { timestamp: '2026-04-31T10:00:00Z' }, 'events[0].timestamp takes a time'],
    ['with a time without a zone', { timestamp: '2026-05-04T10:33:21' }, 'events[0].timestamp takes a time'],
    [
      'more than 5 minutes ahead',
      { timestamp: '2026-05-04T12:05:00.001Z' },
      'events[0].timestamp is more than 5 minutes in the future',
    ],
    [
      'more than 35 days old',
      { timestamp: '2026-03-30T11:59:59.999Z' },
      'events[0].timestamp is more than 35 days ago',
    ],
    ['without a key', { idempotency: undefined }, 'events[0].idempotency takes'],
    ['with an empty key', { idempotency: '' }, 'events[0].idempotency takes'],
    ['with a key of 201 characters', { idempotency: 'k'.repeat(201) }, 'events[0].idempotency takes'],
    ['with a null character in its key', { idempotency: 'a\0b' }, 'events[0].idempotency takes'],
    [
      'with 21 keys of metadata',
      { metadata: Object.fromEntries(Array.from({ length: 21 }, (_, key) => [`k${key}`, 'v'])) },
      'events[0].metadata takes 20 keys',
    ],
    ['with a number in its metadata', { metadata: { n: 1 } }, 'events[0].metadata takes keys'],
    ['with a long text in its metadata', { metadata: { text: 'x'.repeat(501) } }, 'events[0].metadata takes keys'],
    ['with a null character in its metadata', { metadata: { text: 'a\0' } }, 'events[0].metadata takes keys'],
    ['with half a surrogate pair in its metadata', { metadata: { text: '\ud800' } }, 'events[0].metadata takes keys'],
    [
      'with a key that would reach a prototype',
      { metadata: JSON.parse('{"__proto__":"x"}') as object },
      'events[0].metadata takes keys',
    ],
    ['with a list as metadata', { metadata: [] }, 'events[0].metadata takes an object'],
    ['with a field that is none', { amount: 1 }, 'events[0] has a field that is none of'],
  ])('%s is refused', (_, change, hint) => {
    const error = refusalOf([{ ...EVENT, ...change }]);
    expect(error.code).toBe('BAD_USER_INPUT');
    expect(error.hint).toContain(hint);
  });

  test.each([[null], [[]], ['text'], [7]])('that is %j instead of an object is refused', (item) => {
    expect(refusalOf([item]).hint).toBe('events[0] is not an object.');
  });

  test.each([
    [1284, '1284'],
    ['1284', '1284'],
    ['001284.500', '1284.5'],
    [0.1, '0.1'],
    [-0, '0'],
    ['0.000', '0'],
    [1e-7, '0.0000001'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
    ['9007199254740993', '9007199254740993'],
    ['1000000000000000000', '1000000000000000000'],
  ])('keeps the value %j exactly as %s', (value, text) => {
    expect(read([{ ...EVENT, value }])[0]?.value).toBe(text);
  });

  test.each([
    ['2026-05-04T12:05:00Z', '2026-05-04T12:05:00.000Z'],
    ['2026-03-30T12:00:00Z', '2026-03-30T12:00:00.000Z'],
    ['2026-05-04T12:33:21.5+02:00', '2026-05-04T10:33:21.500Z'],
    ['2026-05-04t10:33:21.123456789z', '2026-05-04T10:33:21.123Z'],
  ])('keeps the time %s as %s', (timestamp, text) => {
    expect(read([{ ...EVENT, timestamp }])[0]?.timestamp).toBe(text);
  });

  test('has one fingerprint however it is written', () => {
    const other = {
      metadata: { feature: 'chat', model: 'gpt-5' },
      idempotency: 'another',
      timestamp: '2026-05-04T12:33:21.000+02:00',
      value: '1284.0',
      metric: 'tokens_used',
      user_id: USER,
    };
    expect(read([other])[0]?.fingerprint).toBe(read([EVENT])[0]?.fingerprint);
  });

  test.each([
    [{ value: '1284.000000000001' }],
    [{ timestamp: '2026-05-04T10:33:21.001Z' }],
    [{ user_id: null }],
    [{ metadata: { model: 'gpt-5' } }],
    [{ metadata: { ...EVENT.metadata, feature: 'Chat' } }],
    [{ metric: 'seats' }],
  ])('has another fingerprint with %j', (change) => {
    expect(read([{ ...EVENT, ...change }])[0]?.fingerprint).not.toBe(read([EVENT])[0]?.fingerprint);
  });

  test('is read or refused by name, whatever JSON it is', () => {
    const field = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(...Object.values(EVENT)));
    const item = fc.record(Object.fromEntries(Object.keys(EVENT).map((key) => [key, field])), { requiredKeys: [] });
    fc.assert(
      fc.property(fc.oneof(item, fc.jsonValue()), (value) => {
        const outcome = outcomeOf([value]);
        if (outcome instanceof TenonError) expect(outcome.hint).toMatch(/^events\[0\]/);
        else expect(Number(outcome[0]?.value)).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe('a batch', () => {
  test('names each bad event, in its own order', () => {
    const { hint } = refusalOf([EVENT, { ...EVENT, value: -1 }, EVENT, { ...EVENT, idempotency: '' }]);
    expect(hint).toMatch(/^events\[1\]\.value .*\. events\[3\]\.idempotency .*\.$/);
  });

  test('with nothing but unknown metrics is UNKNOWN_METRIC', () => {
    const error = refusalOf([EVENT, { ...EVENT, metric: 'toString' }]);
    expect(error.code).toBe('UNKNOWN_METRIC');
    expect(error.hint).toBe('events[1].metric takes one of seats, tokens_used.');
  });

  test('with an unknown metric and another fault is BAD_USER_INPUT', () => {
    expect(
      refusalOf([
        { ...EVENT, metric: 'nope' },
        { ...EVENT, value: -1 },
      ]).code,
    ).toBe('BAD_USER_INPUT');
  });

  test('names ten bad events at most', () => {
    expect(refusalOf(Array.from({ length: 50 }, () => null)).hint?.match(/events\[/g)).toHaveLength(10);
  });

  test('without an event is refused', () => {
    expect(refusalOf([]).code).toBe('BAD_USER_INPUT');
  });

  test('takes 1,000 events and not one more', () => {
    expect(read(Array.from({ length: 1000 }, () => EVENT))).toHaveLength(1000);
    expect(refusalOf(Array.from({ length: 1001 }, () => EVENT)).code).toBe('PAYLOAD_TOO_LARGE');
  });
});

function nameOf(index: number, field?: string): string {
  return `events[${index}]${field === undefined ? '' : `.${field}`}`;
}

function read(items: readonly unknown[]): UsageEvent[] {
  return readUsageEvents({ items, nameOf }, { tenant: TENANT, now: NOW });
}

function outcomeOf(items: readonly unknown[]): UsageEvent[] | TenonError {
  try {
    return read(items);
  } catch (error) {
    if (error instanceof TenonError) return error;
    throw error;
  }
}

function refusalOf(items: readonly unknown[]): TenonError {
  const outcome = outcomeOf(items);
  if (outcome instanceof TenonError) return outcome;
  throw new Error('the batch was not refused');
}
