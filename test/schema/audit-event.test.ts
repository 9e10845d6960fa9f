import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkEvent,
  entryBytes,
  entryLeaf,
  MAX_ACTION_VERSION,
  MAX_ENTRY_BYTES,
  parseEntry,
  ZERO_PREV,
  type AuditEntry,
  type AuditEvent,
} from '#schema/audit-event.ts';
import { canonicalBytes, type JsonValue } from '#schema/canonical-json.ts';

const event: AuditEvent = {
  id: 'aud_01h455vb4pex5vsknk084sn02q',
  tenant_id: 'tnt_01h455vb4pex5vsknk084sn02q',
  actor: { type: 'user', id: 'usr_01h455vb4pex5vsknk084sn02q', ip: '203.0.113.5', ua: 'Mozilla/5.0' },
  action: 'document.share',
  resource: { type: 'document', id: 'doc_01h455vb4pex5vsknk084sn02q', name: 'Q1 plan' },
  context: { to: 'bob@vendor.com', permission: 'comment' },
  session_id: 'ses_01h455vb4pex5vsknk084sn02q',
  request_id: 'req_01h455vb4pex5vsknk084sn02q',
  ts: '2026-05-04T10:33:21Z',
};
const entry: AuditEntry = { v: 1, seq: 0, prev: ZERO_PREV, outcome: 'success', action_version: 1, event };

const tooMuch = Array.from({ length: 20 }, () => 'a'.repeat(3500));

const refused = expect.objectContaining({ code: 'BAD_USER_INPUT' });
const refusedAs = (message: RegExp) =>
  expect.objectContaining({ code: 'AUDIT_EVENT_REFUSED', hint: undefined, message: expect.stringMatching(message) });

describe('an audit entry', () => {
  test('is the canonical JSON of the six keys, and its leaf the hash of zero and the bytes', () => {
    const bytes = entryBytes(entry);
    expect(bytes.toString()).toBe(
      '{"action_version":1,"event":{"action":"document.share",' +
        '"actor":{"id":"usr_01h455vb4pex5vsknk084sn02q","ip":"203.0.113.5","type":"user","ua":"Mozilla/5.0"},' +
        '"context":{"permission":"comment","to":"bob@vendor.com"},"id":"aud_01h455vb4pex5vsknk084sn02q",' +
        '"request_id":"req_01h455vb4pex5vsknk084sn02q",' +
        '"resource":{"id":"doc_01h455vb4pex5vsknk084sn02q","name":"Q1 plan","type":"document"},' +
        '"session_id":"ses_01h455vb4pex5vsknk084sn02q","tenant_id":"tnt_01h455vb4pex5vsknk084sn02q",' +
        `"ts":"2026-05-04T10:33:21Z"},"outcome":"success","prev":"${'0'.repeat(64)}","seq":0,"v":1}`,
    );
    expect(entryLeaf(bytes)).toEqual(createHash('sha256').update('\0').update(bytes).digest());
    expect(parseEntry(bytes)).toEqual(entry);
  });

  test('comes back from its bytes whatever the context holds', () => {
    const key = fc.stringMatching(/^[a-z][a-z0-9_]{0,39}$/);
    const text = fc.string({ unit: 'binary', maxLength: 20 }).filter((value) => !value.includes('\0'));
    const leaf = fc.oneof(text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null));
    const value = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        leaf,
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(key, tie('tree'), { maxKeys: 3 }),
      ),
    })).tree;
    fc.assert(
      fc.property(fc.dictionary(key, value, { maxKeys: 5 }), fc.nat(), (context, seq) => {
        const prev = seq === 0 ? ZERO_PREV : 'ab'.repeat(32);
        const checked = checkEvent({ ...event, context });
        const bytes = entryBytes({ v: 1, seq, prev, outcome: 'denied', action_version: 7, event: checked });
        expect(entryBytes(parseEntry(bytes))).toEqual(bytes);
      }),
    );
  });

  test.each<[string, unknown, RegExp]>([
    ['another version', { ...entry, v: 2 }, /entry\.v/],
    ['a further key', { ...entry, w: 1 }, /exactly the keys/],
    ['a missing key', { v: 1, seq: 0, prev: ZERO_PREV, outcome: 'success' }, /exactly the keys/],
    [
      'a key of the prototype',
      Object.assign(Object.create({ event }), { ...entry, event: undefined, w: 1 }),
      /exactly the keys/,
    ],
    ['a negative place', { ...entry, seq: -1 }, /entry\.seq/],
    ['a broken place', { ...entry, seq: 0.5 }, /entry\.seq/],
    ['a place beyond the safe integers', { ...entry, seq: 2 ** 53 }, /entry\.seq/],
    ['a text for a place', { ...entry, seq: '0' }, /entry\.seq/],
    ['a first place with a predecessor', { ...entry, prev: 'ab'.repeat(32) }, /entry\.prev/],
    ['a later place with none', { ...entry, seq: 1 }, /entry\.prev/],
    ['a predecessor in capitals', { ...entry, seq: 1, prev: 'AB'.repeat(32) }, /entry\.prev/],
    ['another outcome', { ...entry, outcome: 'maybe' }, /entry\.outcome/],
    ['no version of its action', { ...entry, action_version: undefined }, /entry\.action_version/],
    ['version 0 of its action', { ...entry, action_version: 0 }, /entry\.action_version/],
    ['a broken version of its action', { ...entry, action_version: 1.5 }, /entry\.action_version/],
    ['a text for a version', { ...entry, action_version: '1' }, /entry\.action_version/],
    ['a version beyond 32 bits', { ...entry, action_version: MAX_ACTION_VERSION + 1 }, /entry\.action_version/],
    ['another event', { ...entry, event: { ...event, ts: 'now' } }, /event\.ts/],
  ])('with %s is neither written nor read', (_name, bad, message) => {
    expect(() => entryBytes(bad as AuditEntry)).toThrow(refusedAs(message));
    expect(() => parseEntry(canonicalBytes(JSON.parse(JSON.stringify(bad)) as JsonValue))).toThrow(refused);
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['null', Buffer.from('null')],
    ['a list', Buffer.from('[]')],
    ['bytes that are not canonical', Buffer.from(JSON.stringify(entry))],
    ['a newline behind', Buffer.concat([entryBytes(entry), Buffer.from('\n')])],
    ['a key twice', Buffer.from(entryBytes(entry).toString().replace('"v":1', '"v":1,"v":1'))],
    [
      'a polluting key',
      Buffer.from(entryBytes(entry).toString().replace('"context":{', '"context":{"__proto__":{"a":1},')),
    ],
    ['too many bytes', canonicalBytes({ ...entry, event: { ...event, context: { a: tooMuch } } })],
  ])('is not read from %s', (_name, bytes) => {
    expect(() => parseEntry(bytes)).toThrow(refused);
  });

  test('is not read when any byte is another, unless it is another entry with another leaf', () => {
    const bytes = entryBytes(entry);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ change;
        try {
          expect(entryBytes(parseEntry(changed))).toEqual(changed);
        } catch (thrown) {
          expect(thrown).toEqual(refused);
        }
        expect(entryLeaf(changed)).not.toEqual(entryLeaf(bytes));
      }),
      { numRuns: 300 },
    );
  });
});

describe('an audit event', () => {
  test.each<[string, Partial<AuditEvent>]>([
    [
      'nulls where nothing is known',
      {
        actor: { type: 'anonymous', id: null, ip: null, ua: null },
        resource: { type: 'session', id: 'unknown', name: null },
        session_id: null,
        request_id: null,
      },
    ],
    ['a system actor', { actor: { type: 'system', id: 'compliance', ip: null, ua: null } }],
    ['an IPv6 address', { actor: { type: 'api_key', id: 'key_1', ip: '2001:db8::1', ua: '' } }],
    ['milliseconds', { ts: '2024-02-29T23:59:59.999Z' }],
    ['an action of four parts', { action: 'identity.user.mfa.reset_2' }],
    ['50 keys of 40 characters', { context: manyKeys(50) }],
    ['texts of 4,096 characters', { context: { text: 'é'.repeat(4096) } }],
    ['8 levels of objects', { context: { a: nested(7, (inner) => ({ a: inner })) } }],
    ['8 levels of lists', { context: { a: nested(7, (inner) => [inner]) } }],
  ])('with %s is taken as it is', (_name, change) => {
    const changed = { ...event, ...change };
    expect(checkEvent(changed)).toBe(changed);
    expect(parseEntry(entryBytes({ ...entry, event: changed })).event).toEqual(changed);
  });

  test.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /^event has not exactly/],
    ['a list', [], /^event has not exactly/],
    ['a further key', { ...event, country: 'DE' }, /^event has not exactly/],
    ['a missing key', without('session_id'), /^event has not exactly/],
    ['undefined for null', { ...event, session_id: undefined }, /^event\.session_id/],
    ['an id of another kind', { ...event, id: event.tenant_id }, /^event\.id/],
    ['a tenant that is no id', { ...event, tenant_id: 'acme' }, /^event\.tenant_id/],
    ['an action of one word', { ...event, action: 'share' }, /^event\.action/],
    ['an action in capitals', { ...event, action: 'Document.Share' }, /^event\.action/],
    ['a time without zone', { ...event, ts: '2026-05-04T10:33:21' }, /^event\.ts/],
    ['a time with an offset', { ...event, ts: '2026-05-04T10:33:21+00:00' }, /^event\.ts/],
    ['a day that is not', { ...event, ts: '2026-02-30T10:33:21Z' }, /^event\.ts/],
    ['an hour that is not', { ...event, ts: '2026-02-03T24:00:00Z' }, /^event\.ts/],
    ['a date object', { ...event, ts: new Date(0) }, /^event\.ts/],
    ['another kind of actor', { ...event, actor: { ...event.actor, type: 'robot' } }, /^event\.actor\.type/],
    ['a nameless user', { ...event, actor: { ...event.actor, id: null } }, /^event\.actor\.id/],
    ['an anonymous actor with an id', { ...event, actor: { ...event.actor, type: 'anonymous' } }, /^event\.actor\.id/],
    ['an empty actor id', { ...event, actor: { ...event.actor, id: '' } }, /^event\.actor\.id/],
    ['an address that is none', { ...event, actor: { ...event.actor, ip: '203.0.113.256' } }, /^event\.actor\.ip/],
    ['a long user agent', { ...event, actor: { ...event.actor, ua: 'a'.repeat(4097) } }, /^event\.actor\.ua is longer/],
    ['an actor with a further key', { ...event, actor: { ...event.actor, email: 'a@b.c' } }, /^event\.actor has/],
    ['no actor', { ...event, actor: null }, /^event\.actor has/],
    ['no resource', { ...event, resource: null }, /^event\.resource has/],
    [
      'a resource type with a space',
      { ...event, resource: { ...event.resource, type: 'a b' } },
      /^event\.resource\.type/,
    ],
    ['a resource without id', { ...event, resource: { ...event.resource, id: null } }, /^event\.resource\.id/],
    ['a number for a name', { ...event, resource: { ...event.resource, name: 1 } }, /^event\.resource\.name/],
    ['a null character in a name', { ...event, resource: { ...event.resource, name: 'a\0' } }, /null character/],
    ['half a surrogate pair in a name', { ...event, resource: { ...event.resource, name: '\ud800' } }, /surrogate/],
    ['a list for a context', { ...event, context: [] }, /^event\.context is no object/],
    ['51 keys', { ...event, context: manyKeys(51) }, /^event\.context has more than 50/],
    ['51 keys further in', { ...event, context: { a: [manyKeys(51)] } }, /^event\.context\.a\[0\] has more than 50/],
    ['a key of 41 characters', { ...event, context: { ['a'.repeat(41)]: 1 } }, /^event\.context has a key/],
    ['a key in capitals', { ...event, context: { a: { Secret: 1 } } }, /^event\.context\.a has a key/],
    ['a long text', { ...event, context: { a: ['', 'a'.repeat(4097)] } }, /^event\.context\.a\[1\] is longer/],
    ['a null character', { ...event, context: { a: '\0' } }, /^event\.context\.a has a null/],
    ['half a surrogate pair', { ...event, context: { a: '\udc00' } }, /surrogate/],
    ['undefined', { ...event, context: { a: undefined } }, /type undefined/],
    ['NaN', { ...event, context: { a: Number.NaN } }, /not finite/],
    ['a bigint', { ...event, context: { a: 1n } }, /type bigint/],
    ['a map', { ...event, context: { a: new Map() } }, /class/],
    ['9 levels of objects', { ...event, context: { a: nested(8, (inner) => ({ a: inner })) } }, /deeper than 8/],
    ['9 levels of lists', { ...event, context: { a: nested(8, (inner) => [inner]) } }, /deeper than 8/],
    ['70,000 bytes', { ...event, context: { a: tooMuch } }, /too large/],
  ])('with %s is refused, naming the place', (_name, bad, message) => {
    expect(() => checkEvent(bad)).toThrow(refusedAs(message));
  });

  test('names no hostile key or value in the text that goes to the logs', () => {
    const bad = { ...event, context: { 'hunter2 secret': 'hunter2' } };
    expect(() => checkEvent(bad)).toThrow(refusedAs(/^(?!.*hunter2)/));
  });

  test('of the largest size that is taken fits into an entry at any place of the log, and one byte more does not', () => {
    const last = {
      ...entry,
      seq: Number.MAX_SAFE_INTEGER,
      prev: 'ab'.repeat(32),
      action_version: MAX_ACTION_VERSION,
    };
    const room = MAX_ENTRY_BYTES - entryBytes({ ...last, event: filled(0) }).length;
    expect(entryBytes({ ...last, event: checkEvent(filled(room)) })).toHaveLength(MAX_ENTRY_BYTES);
    expect(() => checkEvent(filled(room + 1))).toThrow(refusedAs(/too large/));
    expect(() => entryBytes({ ...last, event: filled(room + 1) })).toThrow(refusedAs(/65535/));
  });
});

function filled(size: number): AuditEvent {
  return { ...event, context: { a: [...Array.from({ length: 15 }, () => 'a'.repeat(4096)), 'a'.repeat(size)] } };
}

function without(key: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(event).filter(([name]) => name !== key));
}

function manyKeys(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`.padEnd(40, '_'), index]));
}

function nested(levels: number, wrap: (inner: JsonValue) => JsonValue): JsonValue {
  let value: JsonValue = wrap(1);
  for (let level = 1; level < levels; level++) value = wrap(value);
  return value;
}
