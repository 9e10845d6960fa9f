import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { buildSchema, parse, validate } from 'graphql';
import { describe, expect, it } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { DEFAULT_LIMITS, LIMITS, parseLimits } from '#schema/limits.ts';
import type { LimitName, Limits } from '#schema/limits.ts';
import {
  checkLimits,
  checkSource,
  checkVariables,
  countTokens,
  usesIntrospection,
  withoutSuggestions,
} from '#schema/operation-limits.ts';

const NO_LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  ...Object.fromEntries(Object.keys(LIMITS).map((name) => [name, { max: Infinity, mode: 'enforce' }])),
};

function limited(name: LimitName, max: number, mode: 'measure' | 'enforce' = 'enforce'): Limits {
  return { ...NO_LIMITS, [name]: { max, mode } };
}

function measure(source: string): unknown {
  const { depth, aliases, rootFields, directives } = checkLimits(parse(source), NO_LIMITS).size;
  return { depth, aliases, rootFields, directives };
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
    ['depth', '{ a { b { c } } }', 'MAX_DEPTH_LIMIT'],
    ['aliases', '{ x: a y: a z: a }', 'MAX_ALIASES_LIMIT'],
    ['rootFields', '{ a b c }', 'MAX_ROOT_FIELDS_LIMIT'],
    ['directives', '{ a @x @y @z }', 'MAX_DIRECTIVES_LIMIT'],
    ['fields', '{ a b { c } }', 'MAX_FIELDS_LIMIT'],
    ['overlaps', '{ a { b } a { b } a }', 'MAX_OVERLAPS_LIMIT', 4],
    ['definitions', '{ a ...F ...G } fragment F on Q { b } fragment G on Q { b }', 'MAX_DEFINITIONS_LIMIT'],
    ['variables', 'query($a: I $b: I $c: I) { a }', 'MAX_VARIABLES_LIMIT'],
    ['literals', '{ a(x: [1, 2]) }', 'MAX_LITERALS_LIMIT'],
    ['operationName', 'query Abc { a }', 'MAX_NAME_LIMIT'],
  ] as const)('lets %s through at the limit, refuses one more, and only reports it in measure mode', (...row) => {
    const [name, source, code, atLimit = 3] = row;
    const document = parse(source);
    const check = (max: number, mode?: 'measure') => checkLimits(document, limited(name, max, mode));
    expect(check(atLimit).size[name]).toBe(atLimit);
    expect(codeOf(() => check(atLimit - 1))).toBe(code);
    expect(check(atLimit, 'measure').exceeded).toEqual([]);
    expect(check(atLimit - 1, 'measure').exceeded).toEqual([name]);
  });

  it('tells the caller what she sent and what is allowed', () => {
    const document = parse('{ a { b } }');
    expect(() => checkLimits(document, limited('depth', 1))).toThrow(
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
    const { size } = checkLimits(document, limited('fields', 1_000, 'measure'));
    expect(size).toMatchObject({ aliases: 2 ** 20, rootFields: 2 ** 20, fields: 2 ** 20, depth: 1, overlaps: 0 });
    expect(reads).toBe(22);
  });

  it('takes an unknown fragment as empty, and refuses one that spreads itself', () => {
    expect(measure('{ ...A ...Nowhere } fragment A on Q { a { b } }')).toMatchObject({ depth: 2, rootFields: 1 });
    const cycle = '{ ...A } fragment A on Q { a ...B } fragment B on Q { b { c ...A } }';
    expect(codeOf(() => measure(cycle))).toBe('GRAPHQL_VALIDATION_FAILED');
    expect(codeOf(() => measure('{ a } fragment A on Q { b { ...A } c { ...A } }'))).toBe('GRAPHQL_VALIDATION_FAILED');
  });

  it('counts the fields of fragments that nothing spreads, since validation goes through them', () => {
    const { size } = checkLimits(parse('{ a } fragment F on Q { b b { c } }'), NO_LIMITS);
    expect(size).toMatchObject({ fields: 4, overlaps: 1, rootFields: 1 });
  });

  it('counts pairs through fragments and inline fragments of any type, at every place', () => {
    const source = `{ a { ...F ... on X { b { c } } b { c } } } fragment F on A { b { c ...G } } fragment G on B { c d: c }`;
    expect(checkLimits(parse(source), NO_LIMITS).size.overlaps).toBe(3 + 6);
  });

  it('refuses an endless chain of fragments as too deep instead of exhausting the stack', () => {
    expect(codeOf(() => measure(fan(5_000, (next) => `...${next}`, 'a')))).toBe('MAX_DEPTH_LIMIT');
  });

  it('stays a safe whole number where fragments multiply beyond all numbers', () => {
    const source = fan(400, (next) => `...${next} `.repeat(8), 'x: a');
    expect(measure(source)).toMatchObject({ aliases: Number.MAX_SAFE_INTEGER, rootFields: Number.MAX_SAFE_INTEGER });
    expect(codeOf(() => checkLimits(parse(source), limited('aliases', 30)))).toBe('MAX_ALIASES_LIMIT');
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
    expect(codeOf(() => countTokens('a '.repeat(1_000_000), 1_000))).toBe('MAX_TOKENS_LIMIT');
  });

  it.each(['{ a(b: "open', '{ a ? }', '"\\u{110000}"', '\u0000', '{ a(b: "\uD800") }'])(
    'refuses %j as no GraphQL',
    (source) => {
      expect(codeOf(() => countTokens(source, 100))).toBe('GRAPHQL_PARSE_FAILED');
    },
  );

  it('refuses brackets within brackets before the parser goes down them', () => {
    const nested = (levels: number): string => `{ a(b: ${'['.repeat(levels)}${']'.repeat(levels)}) }`;
    expect(codeOf(() => countTokens(nested(190), 10_000))).toBe('none');
    expect(codeOf(() => countTokens(nested(250), 10_000))).toBe('MAX_DEPTH_LIMIT');
  });

  it('answers any text with a number or one of its two errors', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (source) => {
        expect(['none', 'MAX_TOKENS_LIMIT', 'GRAPHQL_PARSE_FAILED']).toContain(codeOf(() => countTokens(source, 20)));
      }),
    );
  });
});

describe('checkSource', () => {
  it('bounds what no token shows: comments, commas and long strings', () => {
    const comments = `${'#\n'.repeat(50)}{ a }`;
    expect(checkSource(comments, NO_LIMITS)).toEqual([]);
    expect(codeOf(() => checkSource(comments, limited('documentChars', 100)))).toBe('MAX_DOCUMENT_LIMIT');
    expect(checkSource(comments, limited('documentChars', 100, 'measure'))).toEqual(['documentChars']);
  });

  it('counts on in measure mode, and stops in enforce mode', () => {
    expect(checkSource('{ a b c }', limited('tokens', 4, 'measure'))).toEqual(['tokens']);
    expect(codeOf(() => checkSource('{ a b c }', limited('tokens', 4)))).toBe('MAX_TOKENS_LIMIT');
  });
});

describe('checkVariables', () => {
  it.each([
    ['inputDepth', { a: { b: [{ c: 1 }] } }, 3],
    ['inputValues', { a: [1, 2, 3], b: null }, 5],
  ] as const)('bounds %s', (name, variables, found) => {
    expect(checkVariables(variables, limited(name, found))).toEqual([]);
    expect(codeOf(() => checkVariables(variables, limited(name, found - 1)))).toBe('MAX_INPUT_LIMIT');
    expect(checkVariables(variables, limited(name, found - 1, 'measure'))).toEqual([name]);
  });

  it('goes down 100,000 levels without a stack, and stops at the limit', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expect(codeOf(() => checkVariables({ deep }, DEFAULT_LIMITS))).toBe('MAX_INPUT_LIMIT');
    expect(checkVariables({ deep }, limited('inputDepth', 10, 'measure'))).toEqual(['inputDepth']);
  });

  it('takes anything', () => {
    for (const variables of [undefined, null, 3, 'x', [], {}])
      expect(checkVariables(variables, DEFAULT_LIMITS)).toEqual([]);
  });
});

describe('parseLimits', () => {
  it('changes what is named and leaves the rest', () => {
    const limits = parseLimits(' depth=20, aliases=measure,tokens=5,tokens=measure');
    expect(limits.depth).toEqual({ max: 20, mode: 'enforce' });
    expect(limits.aliases).toEqual({ max: LIMITS.aliases.default, mode: 'measure' });
    expect(limits.tokens).toEqual({ max: 5, mode: 'measure' });
    expect(limits.fields).toEqual(DEFAULT_LIMITS.fields);
    expect(DEFAULT_LIMITS.depth.max).toBe(LIMITS.depth.default);
  });

  it.each([
    ['depht=20', /"depht=20": no such limit; there are .*depth/],
    ['depth', /"depth": takes a whole number/],
    ['depth=-1', /takes a whole number/],
    ['depth=1e9', /takes a whole number/],
    ['depth=off', /takes a whole number, measure or enforce/],
    ['depth=1=2', /more than one/],
    ['__proto__=1', /no such limit/],
  ])('refuses %s and says why', (text, message) => {
    expect(() => parseLimits(text)).toThrow(message);
  });
});

describe('the table of limits', () => {
  it('stands in the documentation as it is', () => {
    const text = readFileSync(new URL('../../docs/cost.md', import.meta.url), 'utf8');
    for (const [name, row] of Object.entries(LIMITS)) {
      const cells = [`\`${name}\``, row.default.toLocaleString('en-US'), `\`${row.code}\``, row.what];
      expect(text).toContain(`| ${cells.join(' | ')} |`);
    }
  });
});

describe('usesIntrospection', () => {
  it.each([
    ['{ __typename a { __typename } }', false],
    ['{ a b { c } }', false],
    ['{ x: __schema { types { name } } }', true],
    ['{ ...F } fragment F on Query { ... { __type(name: "A") { name } } }', true],
    ['query A { a } query B { __schema { description } }', true],
  ])('%s: %s', (source, expected) => {
    expect(usesIntrospection(parse(source))).toBe(expected);
  });
});

describe('withoutSuggestions', () => {
  const schema = buildSchema(`
    enum Kind { PERSON PEOPLE }
    input Filter { name: String }
    interface Node { id: ID }
    type User implements Node { id: ID secretName: String }
    type Query { users(first: Int, filter: Filter, kind: Kind): [User] node: Node }
  `);

  it.each([
    '{ usres { id } }',
    '{ users(frist: 1) { id } }',
    '{ users(filter: { nmae: "x" }) { id } }',
    '{ users(kind: PERSN) { id } }',
    '{ users(kind: "PERSON") { id } }',
    '{ node { secretName } }',
    '{ users }',
    '{ users { ... on Usr { id } } }',
    'query($a: Strin) { users(first: $a) { id } }',
  ])('removes the names that the library guesses for %s', (source) => {
    const messages = validate(schema, parse(source)).map((error) => error.message);
    expect(messages.some((message) => message.includes('Did you mean'))).toBe(true);
    for (const message of messages) {
      const kept = withoutSuggestions(message);
      expect(kept).not.toMatch(/Did you mean/);
      expect(message.startsWith(kept)).toBe(true);
      expect(kept).toMatch(/\.$/);
    }
  });

  it('leaves any other message alone', () => {
    expect(withoutSuggestions('Syntax Error: Unexpected Name "a".')).toBe('Syntax Error: Unexpected Name "a".');
    const hostile = `x ${'Did you mean '.repeat(20_000)}`;
    expect(withoutSuggestions(hostile)).toBe(hostile);
  });
});
