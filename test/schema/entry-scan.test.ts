import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { entryBytes, parseEntry, ZERO_PREV, type AuditEntry, type AuditEvent } from '#schema/audit-event.ts';
import { canonicalJson, type JsonValue } from '#schema/canonical-json.ts';
import { entryScan } from '#schema/entry-scan.ts';
import { idOf } from '#schema/ids.ts';
import { eventAt } from '../compliance/verify-fixture.ts';

const tenant = idOf('tnt', '018f0000-0000-7000-8000-000000000001');
const scan = entryScan(tenant);
const PREV = 'a'.repeat(64);

const entryOf = (event: Partial<AuditEvent>, parts: Partial<AuditEntry> = {}): AuditEntry => ({
  v: 1,
  seq: 7,
  prev: PREV,
  outcome: 'success',
  action_version: 1,
  event: { ...eventAt(7, tenant), ...event },
  ...parts,
});

const isFound = (line: Buffer, { seq = 7, prev = PREV } = {}): boolean =>
  scan(Buffer.concat([line, Buffer.of(0x0a)]), { start: 0, end: line.length, seq, prev });

const isParsed = (line: Buffer): boolean => {
  try {
    const { seq, prev, event } = parseEntry(line);
    return seq === 7 && prev === PREV && event.tenant_id === tenant;
  } catch {
    return false;
  }
};

const key = fc.stringMatching(/^[a-z][a-z0-9_]{0,9}$/);
const { value } = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'binary', maxLength: 20 }).filter((text) => text.isWellFormed() && !text.includes('\0')),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.constantFrom(null, true, false),
    fc.constant({ $enc: { c: 'A'.repeat(23), i: 'B'.repeat(16), k: '_'.repeat(22) } }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4 }).map((fields) => ({ ...fields })),
  ),
}));
const context = fc.dictionary(key, value, { maxKeys: 6 }).map((fields) => ({ ...fields }));

describe('the scan of an entry', () => {
  test('finds what the platform writes, whatever stands in its context', () => {
    fc.assert(
      fc.property(context, (fields) => {
        const line = Buffer.from(canonicalJson(entryOf({ context: fields })));
        // Nesting beyond what an event may have is refused by both.
        expect(isFound(line)).toBe(isParsed(line));
      }),
      { numRuns: 2000 },
    );
  });

  test('finds nothing that the parser refuses, wherever a byte was changed', () => {
    const sealed = { $enc: { c: 'A'.repeat(23), i: 'B'.repeat(16), k: 'C'.repeat(22) } };
    const event = eventAt(7, tenant);
    const line = entryBytes(
      entryOf({
        actor: { ...event.actor, ip: sealed, ua: 'é\u0001"\\' },
        context: { a: [1, -2.5, 1e21, null, true], b: { c: {} }, email: sealed },
      }),
    );
    expect(isFound(line)).toBe(true);
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.nat(255), fc.constantFrom(0, 1, 2), (at, byte, kind) => {
        const changed =
          kind === 0
            ? Buffer.concat([line.subarray(0, at), line.subarray(at + 1)])
            : Buffer.concat([line.subarray(0, at), Buffer.of(byte), line.subarray(kind === 1 ? at + 1 : at)]);
        const isUtf8 = changed.equals(Buffer.from(changed.toString()));
        if (isUtf8 && isFound(changed)) expect(isParsed(changed)).toBe(true);
      }),
      { numRuns: 20_000 },
    );
  });

  test.each<[string, Partial<AuditEvent>]>([
    ['an anonymous actor', { actor: { type: 'anonymous', id: null, ip: null, ua: null } }],
    ['an address of version 6', { actor: { type: 'user', id: 'usr_ann', ip: '2001:db8::1', ua: '' } }],
    ['the last day of February', { ts: '2028-02-29T23:59:59Z' }],
    ['a nameless resource', { resource: { type: 'a', id: 'é', name: null } }],
    ['four words', { action: 'a.b.c.d' }],
  ])('finds %s', (_, event) => {
    expect(isFound(entryBytes(entryOf(event)))).toBe(true);
  });

  test('asks for the place: number, leaf before, tenant', () => {
    const line = entryBytes(entryOf({}));
    expect(isFound(line)).toBe(true);
    expect(isFound(line, { seq: 8 })).toBe(false);
    expect(isFound(line, { prev: 'b'.repeat(64) })).toBe(false);
    expect(isFound(entryBytes(entryOf({}, { seq: 0, prev: ZERO_PREV })), { seq: 0, prev: ZERO_PREV })).toBe(true);
    expect(isFound(entryBytes(entryOf({ tenant_id: idOf('tnt', '018f0000-0000-7000-8000-000000000002') })))).toBe(
      false,
    );
  });
});
