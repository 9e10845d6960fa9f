import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSha256Key, operationKey, sha256Hex } from '#schema/operation-id.ts';
import {
  faultLine,
  MANIFEST_MAX_BYTES,
  MANIFEST_MAX_OPERATIONS,
  manifestFingerprint,
  readManifest,
} from '#schema/operation-manifest.ts';

const NAME = 'query Name { name }';
const apollo = (...operations: object[]) =>
  JSON.stringify({ format: 'apollo-persisted-query-manifest', version: 1, operations });
const reasons = (text: string) => readManifest(text, 'acme').faults.map(faultLine);

const body = fc
  .record({
    kind: fc.constantFrom('query', 'mutation'),
    name: fc.stringMatching(/^[A-Za-z_]\w{0,12}$/),
    field: fc.nat(99),
  })
  .map(({ kind, name, field }) => ({ kind, name, text: `${kind} ${name} { field${field} }` }));

describe('readManifest', () => {
  it('reads the same operations from every format, whatever their names and order', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(body, { maxLength: 8, selector: ({ text }) => text }),
        fc.boolean(),
        (bodies, prefixed) => {
          const id = (text: string) => `${prefixed ? 'sha256:' : ''}${sha256Hex(text)}`;
          const formats = [
            apollo(...bodies.map(({ kind, name, text }) => ({ id: id(text), name, type: kind, body: text }))),
            JSON.stringify(bodies.map(({ text }) => [id(text), text]).toReversed()),
            JSON.stringify(Object.fromEntries(bodies.map(({ text }) => [id(text), text]))),
          ];
          const read = formats.map((format) => readManifest(format, 'acme'));
          expect(read.flatMap(({ faults }) => faults)).toEqual([]);
          const fingerprints = read.map(({ operations }) => manifestFingerprint('acme', operations));
          expect(new Set(fingerprints).size).toBe(1);
          const found = read[0]?.operations.map(({ key, name, kind }) => ({ key, name, kind }));
          expect(found).toEqual(bodies.map(({ text, name, kind }) => ({ key: sha256Hex(text), name, kind })));
        },
      ),
    );
  });

  it('never throws and never takes an operation that it cannot run, whatever it is given', () => {
    const part = fc.oneof(
      fc.string(),
      body.map(({ text }) => text),
      fc.constantFrom('__proto__', 'constructor', 'sha256:00', 'query', null, 1, {}, []),
    );
    const entry = fc.oneof(
      fc.tuple(part, part),
      fc.record(
        { id: part, body: part, name: part, type: part, maxCost: part, clientName: part },
        { requiredKeys: [] },
      ),
    );
    const manifest = fc.oneof(
      fc.array(entry).map((operations) => ({ format: 'apollo-persisted-query-manifest', version: 1, operations })),
      fc.array(entry),
      fc.dictionary(fc.string(), part),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          manifest.map((value) => JSON.stringify(value)),
          fc.string(),
        ),
        (text) => {
          const { operations } = readManifest(text, 'acme');
          for (const { id, key, body: source, kind } of operations) {
            expect(operationKey(id)).toBe(key);
            expect(['query', 'mutation']).toContain(kind);
            if (isSha256Key(key)) expect(sha256Hex(source)).toBe(key);
          }
          expect(new Set(operations.map(({ key }) => key)).size).toBe(operations.length);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('names every fault, not only the first', () => {
    expect(
      reasons(apollo({ id: 'a', name: 'A', type: 'query', body: '{' }, { id: 'b c', body: NAME }, { id: 'd' })),
    ).toEqual([
      expect.stringMatching(/^A \("a"\): Syntax Error/),
      '"b c": not a document id of GraphQL-over-HTTP',
      '"d": an entry without id or document',
    ]);
  });

  it.each([
    [apollo({ id: 'a', name: 'Name', type: 'query', body: NAME, maxCost: 0 }), /maxCost/],
    [apollo({ id: 'a', name: 'Name', type: 'query', body: NAME, maxCost: '5' }), /maxCost/],
    [JSON.stringify({ a: `${NAME} # \ud800` }), /not Unicode/],
    [JSON.stringify({ a: `${NAME} # \0` }), /not Unicode/],
  ])('refuses %s', (text, reason) => {
    expect(reasons(text)).toEqual([expect.stringMatching(reason)]);
  });

  it('bounds what it reads: bytes, operations and tokens', () => {
    expect(reasons(' '.repeat(MANIFEST_MAX_BYTES + 1))).toEqual([`more than ${MANIFEST_MAX_BYTES} bytes`]);
    const many = Object.fromEntries(
      Array.from({ length: MANIFEST_MAX_OPERATIONS + 1 }, (_, index) => [`a${index}`, NAME]),
    );
    expect(reasons(JSON.stringify(many))).toEqual([`more than ${MANIFEST_MAX_OPERATIONS} operations`]);
    expect(reasons(JSON.stringify({ a: `{ ${'a '.repeat(20_000)} }` }))[0]).toMatch(/At most 10000 tokens/);
  });

  it('takes a ceiling of its own, and no operation named like a member of every object', () => {
    const { operations } = readManifest(
      apollo({ id: '__proto__', name: 'Name', type: 'query', body: NAME, maxCost: 7 }),
      'acme',
    );
    expect(operations).toMatchObject([{ id: '__proto__', maxCost: 7 }]);
    expect(({} as Record<string, unknown>)['maxCost']).toBeUndefined();
  });
});
