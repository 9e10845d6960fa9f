import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseEntry, ZERO_PREV } from '#schema/audit-event.ts';
import { canonicalBytes, type JsonValue } from '#schema/canonical-json.ts';
import { mintId } from '#schema/ids.ts';
import { skimEntry, viewEntry, type EntryView } from '../../compliance/entry-view.ts';

const sealed = { $enc: { k: 'k'.repeat(22), i: 'i'.repeat(16), c: 'c'.repeat(40) } };

function anEntry(
  event: Record<string, JsonValue> = {},
  entry: Record<string, JsonValue> = {},
): Record<string, JsonValue> {
  return {
    v: 1,
    seq: 7,
    prev: 'ab'.repeat(32),
    outcome: 'success',
    action_version: 1,
    event: {
      id: mintId('aud'),
      tenant_id: mintId('tnt'),
      actor: { type: 'user', id: mintId('usr'), ip: sealed, ua: sealed },
      action: 'document.share',
      resource: { type: 'document', id: mintId('doc'), name: 'Quarterly report' },
      context: { permission: 'view', to: sealed, times: 3 },
      session_id: mintId('ses'),
      request_id: mintId('req'),
      ts: '2026-11-23T10:00:00.000Z',
      ...event,
    },
    ...entry,
  };
}

/** The same of an entry that was read whole; null where that refuses it. */
function readWhole(bytes: Buffer): EntryView | null {
  try {
    const { seq, prev, outcome, event } = parseEntry(bytes);
    const { id, tenant_id, action, ts, actor, resource } = event;
    const who = { type: actor.type, id: actor.id };
    return {
      seq,
      prev,
      outcome,
      event: { id, tenant_id, action, ts, actor: who, resource: { type: resource.type, id: resource.id } },
    };
  } catch {
    return null;
  }
}

const skim = (bytes: Buffer) => skimEntry(bytes.toString('latin1'));

/** What holds for all bytes: the patterns take nothing that reading the whole refuses, and see in it the same. */
function expectSame(bytes: Buffer): boolean {
  const skimmed = skim(bytes);
  if (skimmed !== null) expect(skimmed).toEqual(readWhole(bytes));
  return skimmed !== null;
}

describe('an entry as the product writes it', () => {
  test.each([
    ['with sealed values', anEntry()],
    ['without context', anEntry({ context: {} })],
    ['of a system part', anEntry({ actor: { type: 'system', id: 'worker', ip: null, ua: null }, session_id: null })],
    ['of nobody known', anEntry({ actor: { type: 'anonymous', id: null, ip: '203.0.113.7', ua: 'curl/8' } })],
    ['on the last day of a month', anEntry({ ts: '2026-12-31T23:59:59Z' })],
    ['at the beginning of a log', anEntry({}, { seq: 0, prev: ZERO_PREV })],
  ])('is read by its pattern alone: %s', (_, entry) => {
    const bytes = canonicalBytes(entry);
    expect(skim(bytes)).not.toBeNull();
    expect(skim(bytes)).toEqual(readWhole(bytes));
  });

  test.each([
    ['a name beyond ASCII', anEntry({ resource: { type: 'document', id: 'd', name: 'Zoë' } })],
    ['an escaped text', anEntry({ resource: { type: 'document', id: 'a"b\\', name: 'Line\nbreak' } })],
    ['a nested context', anEntry({ context: { list: [1, { deep: true }] } })],
    ['an IPv6 address', anEntry({ actor: { type: 'user', id: 'u', ip: '2001:db8::1', ua: null } })],
    ['a leap day', anEntry({ ts: '2028-02-29T00:00:00Z' })],
    ['a long text', anEntry({ resource: { type: 'document', id: 'd', name: 'x'.repeat(4096) } })],
  ])('is read whole where it has %s', (_, entry) => {
    const bytes = canonicalBytes(entry);
    expect(skim(bytes)).toBeNull();
    expect(viewEntry(bytes)).toMatchObject(readWhole(bytes) ?? expect.fail('refused'));
  });
});

describe('what is no entry', () => {
  test.each([
    ['a repeated key of the context', '"permission":"view"', '"permission":"view","permission":"view"'],
    ['keys of the context that do not rise', '"permission":"view",', ''],
    ['a white space', '"outcome":', '"outcome": '],
    ['another order of keys', '"seq":7,"v":1', '"v":1,"seq":7'],
    ['a date that does not exist', '2026-11-23T', '2026-11-31T'],
    [
      'an address with a leading zero',
      '"ip":{"$enc":{"c":"cccccccccccccccccccccccccccccccccccccccc","i":"iiiiiiiiiiiiiiii","k":"kkkkkkkkkkkkkkkkkkkkkk"}}',
      '"ip":"01.2.3.4"',
    ],
    ['minus zero', '"times":3', '"times":-0'],
    ['a zero before a number', '"times":3', '"times":03'],
    ['an unknown outcome', '"success"', '"maybe"'],
    ['the zero hash in the middle', 'ab'.repeat(32), ZERO_PREV],
    ['a user without a name', '"type":"user"', '"type":"anonymous"'],
    ['something behind it', '"v":1}', '"v":1} '],
  ])('is refused by the patterns too: %s', (what, from, to) => {
    const text = canonicalBytes(anEntry()).toString();
    const bytes = Buffer.from(
      what === 'keys of the context that do not rise'
        ? text.replace(from, '').replace('"to":', '"to":null,"permission":')
        : text.replace(from, to),
    );
    expect(bytes.toString()).not.toBe(text);
    expect(readWhole(bytes)).toBeNull();
    expect(skim(bytes)).toBeNull();
    expect(() => viewEntry(bytes)).toThrow();
  });

  test('is never taken by a pattern: any value anywhere, any byte changed, dropped or put in', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('null', '', '"', '\\', '}', ',"v":1}'),
    );
    const values = fc.oneof(
      texts,
      fc.integer(),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
      fc.constant(sealed),
      fc.jsonValue(),
    );
    const contexts = fc.dictionary(fc.oneof(fc.constantFrom('a', 'b', 'aa', '$enc', 'to'), texts), values, {
      maxKeys: 5,
    });
    const edits = fc.array(fc.record({ at: fc.nat(), drop: fc.nat(3), put: fc.oneof(texts, fc.constant('')) }), {
      maxLength: 2,
    });
    let taken = 0;
    fc.assert(
      fc.property(contexts, values, values, edits, (context, name, id, changes) => {
        const entry = anEntry({ context: context as JsonValue, resource: { type: 'document', id, name } as JsonValue });
        let text: string;
        try {
          text = canonicalBytes(entry).toString();
        } catch {
          return;
        }
        for (const { at, drop, put } of changes) {
          const place = at % text.length;
          text = text.slice(0, place) + put + text.slice(place + drop);
        }
        if (expectSame(Buffer.from(text))) taken += 1;
      }),
      { numRuns: 1000, examples: [[{ a: 'one' }, 'two', 'three', []]] },
    );
    expect(taken).toBeGreaterThan(0);
  });
});
