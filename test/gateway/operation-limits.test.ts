import fc from 'fast-check';
import { parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { checkLimits, countTokens } from '#schema/operation-limits.ts';

const NO_LIMITS = { maxDepth: Infinity, maxAliases: Infinity, maxRootFields: Infinity, maxDirectives: Infinity };

function measure(source: string): unknown {
  return checkLimits(parse(source), NO_LIMITS);
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof TenonError) return thrown.code;
    throw thrown;
  }
  return 'none';
}

/** `F0` spreads `F1` twice, `F1` spreads `F2` twice, ...: 2^levels paths to the last one. */
function fan(levels: number, body: (next: string) => string, last: string): string {
  const fragments = Array.from(
    { length: levels },
    (_, level) => `fragment F${level} on Query { ${body(`F${level + 1}`)} }`,
  );
  return [`{ ...F0 }`, ...fragments, `fragment F${levels} on Query { ${last} }`].join('\n');
}

describe('checkLimits', () => {
  it('measures depth, aliases, root fields and directives through fragments', () => {
    const source = `
      query Q($on: Boolean! @a) @b {
        first: one { two { three: deep @include(if: $on) } }
        ...Rest @include(if: $on)
        ... @skip(if: $on) { five }
      }
      fragment Rest on Query @c { four { x: y } }
    `;
    expect(measure(source)).toEqual({ depth: 3, aliases: 3, rootFields: 3, directives: 6 });
  });

  it('takes the largest operation of a document for each measure', () => {
    const source = 'query A { a { b { c } } } query B { x: a y: b z: c }';
    expect(measure(source)).toEqual({ depth: 3, aliases: 3, rootFields: 3, directives: 0 });
  });

  it('does not count what introspection selects as depth, but counts its aliases', () => {
    const source = '{ __schema { types { fields { a: type { ofType { ofType { name } } } } } } }';
    expect(measure(source)).toEqual({ depth: 1, aliases: 1, rootFields: 1, directives: 0 });
  });

  it.each([
    ['maxDepth', '{ a { b { c } } }', 'MAX_DEPTH_LIMIT'],
    ['maxAliases', '{ x: a y: a z: a }', 'MAX_ALIASES_LIMIT'],
    ['maxRootFields', '{ a b c }', 'MAX_ROOT_FIELDS_LIMIT'],
    ['maxDirectives', '{ a @x @y @z }', 'MAX_DIRECTIVES_LIMIT'],
  ])('lets %s through at the limit and refuses one more', (limit, source, code) => {
    expect(codeOf(() => checkLimits(parse(source), { ...NO_LIMITS, [limit]: 3 }))).toBe('none');
    expect(codeOf(() => checkLimits(parse(source), { ...NO_LIMITS, [limit]: 2 }))).toBe(code);
  });

  it('tells the caller what she sent and what is allowed', () => {
    const document = parse('{ a { b } }');
    expect(() => checkLimits(document, { ...NO_LIMITS, maxDepth: 1 })).toThrow(
      expect.objectContaining({ hint: 'It has 2, at most 1 are allowed.' }),
    );
  });

  it('counts an alias of a fragment at every one of 2^20 places, in linear work', () => {
    let reads = 0;
    const document = parse(fan(20, (next) => `...${next} ...${next}`, 'x: a'));
    for (const definition of document.definitions) {
      if (!('selectionSet' in definition)) continue;
      const { selections } = definition.selectionSet;
      const counted = { ...definition.selectionSet };
      Object.defineProperty(counted, 'selections', { get: () => ((reads += 1), selections) });
      Object.assign(definition, { selectionSet: counted });
    }
    expect(checkLimits(document, NO_LIMITS)).toMatchObject({ aliases: 2 ** 20, rootFields: 2 ** 20, depth: 1 });
    expect(reads).toBe(22);
  });

  it('survives fragments that spread themselves, each other, or are unknown', () => {
    const source = '{ ...A ...Nowhere } fragment A on Q { a ...B } fragment B on Q { b { c ...A } ...B }';
    expect(measure(source)).toEqual({ depth: 2, aliases: 0, rootFields: 2, directives: 0 });
  });

  it('refuses an endless chain of fragments as too deep instead of exhausting the stack', () => {
    expect(codeOf(() => measure(fan(5_000, (next) => `...${next}`, 'a')))).toBe('MAX_DEPTH_LIMIT');
  });

  it('stays a safe whole number where fragments multiply beyond all numbers', () => {
    const source = fan(400, (next) => `...${next} `.repeat(8), 'x: a');
    expect(measure(source)).toMatchObject({ aliases: Number.MAX_SAFE_INTEGER, rootFields: Number.MAX_SAFE_INTEGER });
    expect(codeOf(() => checkLimits(parse(source), { ...NO_LIMITS, maxAliases: 30 }))).toBe('MAX_ALIASES_LIMIT');
  });
});

describe('countTokens', () => {
  it('counts what the parser counts, without comments and the end', () => {
    expect(countTokens('# note\n{ a(b: "x") { c } } # end', 100)).toBe(11);
    expect(countTokens('', 0)).toBe(0);
  });

  it('allows exactly what the parser allows under the same limit', () => {
    const source = 'query Q($a: [Int!]! = [1, 2]) { x: f(a: $a, b: """block""") @skip(if: false) { ...F } }';
    const count = countTokens(source, 1_000);
    expect(() => parse(source, { maxTokens: count })).not.toThrow();
    expect(() => parse(source, { maxTokens: count - 1 })).toThrow(/token/);
    expect(codeOf(() => countTokens(source, count))).toBe('none');
    expect(codeOf(() => countTokens(source, count - 1))).toBe('MAX_TOKENS_LIMIT');
  });

  it('stops at the limit, however long the source is', () => {
    expect(codeOf(() => countTokens('{'.repeat(2_000_000), 1_000))).toBe('MAX_TOKENS_LIMIT');
  });

  it.each(['{ a(b: "open', '{ a ? }', '"\\u{110000}"', '\u0000', '{ a(b: "\uD800") }'])(
    'refuses %j as no GraphQL',
    (source) => {
      expect(codeOf(() => countTokens(source, 100))).toBe('GRAPHQL_PARSE_FAILED');
    },
  );

  it('answers any text with a number or one of its two errors', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (source) => {
        expect(['none', 'MAX_TOKENS_LIMIT', 'GRAPHQL_PARSE_FAILED']).toContain(codeOf(() => countTokens(source, 20)));
      }),
    );
  });
});
