import fc from 'fast-check';
import { GraphQLError, parseValue } from 'graphql';
import { describe, expect, test } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { Decimal, decimalText } from '../../../subgraphs/billing/decimal.ts';
import { parseExactJson } from '../../../subgraphs/billing/exact-json.ts';

describe('Decimal', () => {
  test.each([
    ['"44.209873"', '44.209873'],
    ['44.209873', '44.209873'],
    ['"-0012.50"', '-12.5'],
    ['9007199254740993', '9007199254740993'],
    ['0.1234567890123456789', '0.1234567890123456789'],
    ['"-0"', '0'],
  ])('reads the literal %s as %s', (literal, text) => {
    expect(Decimal.parseLiteral(parseValue(literal))).toBe(text);
  });

  test.each([['"1e3"'], ['1e3'], ['"abc"'], ['true'], ['null'], ['[1]'], [`"${'9'.repeat(41)}"`]])(
    'refuses the literal %s',
    (literal) => {
      expect(() => Decimal.parseLiteral(parseValue(literal))).toThrow(GraphQLError);
    },
  );

  test.each([[12.5], ['12.50'], [9007199254740991]])('reads the variable %j', (value) => {
    expect(Decimal.parseValue(value)).toBe(String(Number(value)));
  });

  test.each([[9007199254740992], [0.1234567890123456], [Number.NaN], [Number.POSITIVE_INFINITY], [null], [{}], [true]])(
    'refuses the variable %j, which may have been rounded or is no number',
    (value) => {
      expect(() => Decimal.parseValue(value)).toThrow(GraphQLError);
    },
  );

  test('writes what the database holds', () => {
    expect(Decimal.serialize('12.00')).toBe('12');
    expect(() => Decimal.serialize('NaN')).toThrow(GraphQLError);
  });

  test('has one text for one number', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 10n ** 20n }),
        fc.stringMatching(/^\d{1,12}$/),
        fc.nat(3),
        (whole, fraction, zeros) => {
          const text = decimalText(`${'0'.repeat(zeros)}${whole}.${fraction}${'0'.repeat(zeros)}`);
          expect(text).toBe(decimalText(`${whole}.${fraction}`));
          expect(decimalText(text)).toBe(text);
        },
      ),
    );
  });
});

describe('parseExactJson', () => {
  test.each([
    ['9007199254740993'],
    ['1.0000000000000000001'],
    ['-0.10000000000000000001'],
    ['1e400'],
    ['1E-400'],
    ['1'.repeat(41)],
  ])('reads %s as no number, since a double cannot hold it', (token) => {
    expect(parseExactJson(`{"value":${token},"rest":[1,"x"]}`, 'It')).toEqual({
      value: Number.POSITIVE_INFINITY,
      rest: [1, 'x'],
    });
  });

  test.each([['0'], ['-0'], ['1284'], ['0.1'], ['1e3'], ['1.5E+2'], ['9007199254740992'], ['0.000004']])(
    'reads %s as JSON.parse does',
    (token) => {
      expect(parseExactJson(`[${token}]`, 'It')).toEqual([Number(token)]);
    },
  );

  test('leaves numbers inside texts alone', () => {
    const value = { 'a"9007199254740993': 'b\\"9007199254740993', 'c\\': '\\' };
    expect(parseExactJson(JSON.stringify(value), 'It')).toEqual(value);
  });

  test('reads like JSON.parse where every number is exact', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value, null, 1);
        expect(parseExactJson(text, 'It')).toEqual(JSON.parse(text));
      }),
    );
  });

  test.each([['{'], [''], ["{'a':1}"], ['[1,]'], ['NaN'], ['\0']])('refuses %j as BAD_REQUEST', (text) => {
    expect(() => parseExactJson(text, 'Line 7')).toThrow(
      expect.objectContaining({ code: 'BAD_REQUEST', hint: 'Line 7 is not JSON.' }) as TenonError,
    );
  });

  test('bears ten megabytes of hostile text', () => {
    expect(parseExactJson('['.repeat(5_000) + ']'.repeat(5_000), 'It')).toHaveLength(1);
    expect(parseExactJson(`"${'\\\\'.repeat(5_000_000)}"`, 'It')).toHaveLength(5_000_000);
  });
});
