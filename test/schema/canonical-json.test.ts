import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalBytes, canonicalJson, parseCanonical, type JsonValue } from '#schema/canonical-json.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });

describe('canonical JSON writes what RFC 8785 prints', () => {
  test('the sample of section 3.2.2, byte by byte as in section 3.2.4', () => {
    const input: JsonValue = JSON.parse(String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`);
    const expected =
      '7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b333333333333333333' +
      '2e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c753030' +
      '30665c6e4127425c225c5c5c5c5c222f227d';
    expect(canonicalBytes(input).toString('hex').length).toBe(expected.length);
    expect(canonicalBytes(input).toString('hex')).toBe(expected);
  });

  test('the sorting example of section 3.2.3, by UTF-16 code units', () => {
    const input = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    expect(canonicalJson(input)).toBe(
      '{"\\r":"Carriage Return","1":"One","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis",' +
        '"\u20ac":"Euro Sign","\ud83d\ude00":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    );
  });

  test('text with the escapes of section 3.2.2.2 and no others', () => {
    expect(canonicalJson('a"b')).toBe(String.raw`"a\"b"`);
    expect(canonicalJson('a\\b')).toBe(String.raw`"a\\b"`);
    expect(canonicalJson('\b\t\n\f\r')).toBe(String.raw`"\b\t\n\f\r"`);
    expect(canonicalJson('\0\u000b\u001f')).toBe(String.raw`"\u0000\u000b\u001f"`);
    expect(canonicalJson(' !#[]~/\u007f\u2028')).toBe('" !#[]~/\u007f\u2028"');
  });

  test('nested structures, with keys that look like numbers and an empty key', () => {
    const input = { '1': { f: { f: 'hi', F: 5 }, '\n': 56 }, '10': {}, '': 'empty', a: {}, '111': [{}], A: {} };
    expect(canonicalJson(input)).toBe(
      '{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{}],"A":{},"a":{}}',
    );
  });

  test.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('the number %s of appendix B as %s', (ieee754, expected) => {
    expect(canonicalJson(Buffer.from(ieee754, 'hex').readDoubleBE())).toBe(expected);
  });
});

describe('canonical JSON refuses what it could only write by losing something', () => {
  class Point {
    x = 1;
  }
  // Keeps the length of its own keys right although it has a hole.
  const holeAndName = Object.assign([] as unknown[], { name: 1 });
  holeAndName.length = 1;
  test.each<[string, unknown]>([
    ['NaN', Number.NaN],
    ['an infinity', Number.POSITIVE_INFINITY],
    ['undefined', undefined],
    ['an undefined member', { a: undefined }],
    ['a function', () => 1],
    ['an own toJSON', { toJSON: () => 1 }],
    ['a symbol', Symbol('a')],
    ['a bigint', 1n],
    ['a high surrogate alone', 'a\ud800'],
    ['a low surrogate alone in a key', { '\udc00': 1 }],
    ['a date', new Date(0)],
    ['a map', new Map([['a', 1]])],
    ['bytes', Buffer.from('a')],
    ['an instance of a class', new Point()],
    ['a boxed number', Object(1)],
    ['a symbol key', { [Symbol('a')]: 1 }],
    ['a hidden property', Object.defineProperty({}, 'a', { value: 1 })],
    ['a hole', Array.from({ length: 3 }).fill(1, 0, 2)],
    ['a missing index', Object.assign([1, 2, 3], { length: 4 })],
    ['a named property of an array', Object.assign([1], { name: 1 })],
    ['a hole beside a named property', holeAndName],
  ])('%s', (_name, value) => {
    expect(() => canonicalJson(value as JsonValue)).toThrow(refused);
  });

  test('nesting of 64 levels is written, of 65 is refused, and a circle is refused too', () => {
    expect(canonicalJson(nested(64))).toBe('['.repeat(64) + ']'.repeat(64));
    expect(() => canonicalJson(nested(65))).toThrow(refused);
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(() => canonicalJson(circle as JsonValue)).toThrow(refused);
  });

  test('an object without a prototype is plain, and __proto__ is a key like any other', () => {
    const bare = Object.assign(Object.create(null) as Record<string, number>, { b: 1, a: 2 });
    expect(canonicalJson(bare)).toBe('{"a":2,"b":1}');
    expect(canonicalJson(parseCanonical(Buffer.from('{"__proto__":{"a":1}}')))).toBe('{"__proto__":{"a":1}}');
    expect(Object.hasOwn(Object.prototype, 'a')).toBe(false);
  });
});

describe('reading canonical bytes', () => {
  test.each([
    ['white space', '{"a": 1}'],
    ['a newline at the end', '1\n'],
    ['keys out of order', '{"b":1,"a":2}'],
    ['a key twice', '{"a":1,"a":2}'],
    ['the same key twice over', '{"a":1,"a":1}'],
    ['another spelling of a number', '1.0'],
    ['minus zero', '-0'],
    ['a number beyond a double', '1e400'],
    ['an escape that is not needed', String.raw`"\u0041"`],
    ['an escaped lone surrogate', String.raw`"\ud800"`],
    ['a byte order mark', '\ufeff1'],
    ['nothing', ''],
    ['two values', '1 1'],
    ['half a value', '{"a":'],
    ['nesting without end', '['.repeat(100_000)],
    ['deep nesting', '['.repeat(65) + ']'.repeat(65)],
  ])('refuses %s', (_name, text) => {
    expect(() => parseCanonical(Buffer.from(text))).toThrow(refused);
  });

  test('refuses bytes that are not UTF-8', () => {
    expect(() => parseCanonical(Buffer.from('22ff22', 'hex'))).toThrow(refused);
    expect(() => parseCanonical(Buffer.from('22eda08022', 'hex'))).toThrow(refused);
  });

  test('gives back any JSON value, whatever the order of its keys was', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5, stringUnit: 'binary' }), (value) => {
        const bytes = canonicalBytes(value as JsonValue);
        const read = parseCanonical(bytes);
        expect(canonicalBytes(read)).toEqual(bytes);
        expect(canonicalJson(reversed(read))).toBe(bytes.toString());
        expect(JSON.parse(bytes.toString())).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

function nested(depth: number): JsonValue {
  let value: JsonValue = [];
  for (let level = 1; level < depth; level++) value = [value];
  return value;
}

function reversed(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item: JsonValue) => reversed(item));
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, item]): [string, JsonValue] => [key, reversed(item)]),
  );
}
