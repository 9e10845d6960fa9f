import { describe, expect, test } from 'vitest';
import { encodeCheckpoint, parseCheckpoint } from '#schema/checkpoint.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });

// The example of C2SP tlog-checkpoint.
const ROOT = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=';
const EXAMPLE = `example.com/behind-the-sofa\n20852163\n${ROOT}\n`;
const root = Buffer.from(ROOT, 'base64');

describe('a checkpoint', () => {
  test('of the specification is read and written as printed', () => {
    const checkpoint = parseCheckpoint(EXAMPLE);
    expect(checkpoint).toEqual({ origin: 'example.com/behind-the-sofa', size: 20_852_163, root });
    expect(encodeCheckpoint(checkpoint)).toBe(EXAMPLE);
  });

  test('of an empty log has size 0', () => {
    expect(parseCheckpoint(`a\n0\n${ROOT}\n`).size).toBe(0);
  });

  test('may carry extension lines, which mean nothing here', () => {
    expect(parseCheckpoint(`${EXAMPLE}anything\nmore\n`)).toEqual(parseCheckpoint(EXAMPLE));
  });

  test.each([
    ['nothing', ''],
    ['no newline at the end', EXAMPLE.slice(0, -1)],
    ['no newline behind an extension line', `${EXAMPLE}more`],
    ['an empty origin', EXAMPLE.slice(EXAMPLE.indexOf('\n'))],
    ['two lines', 'a\n1\n'],
    ['an empty extension line', `${EXAMPLE}\nmore\n`],
    ['a leading zero', `a\n01\n${ROOT}\n`],
    ['a sign', `a\n+1\n${ROOT}\n`],
    ['a space', `a\n1 \n${ROOT}\n`],
    ['hex digits', `a\n0x1\n${ROOT}\n`],
    ['an exponent', `a\n1e3\n${ROOT}\n`],
    ['a size beyond the safe integers', `a\n9007199254740992\n${ROOT}\n`],
    ['a size without end', `a\n${'9'.repeat(100_000)}\n${ROOT}\n`],
    ['a short root', 'a\n1\nAAAA\n'],
    ['a root with stray bits', `a\n1\n${ROOT.replace('2I=', '2J=')}\n`],
    ['a URL-safe root', `a\n1\n${ROOT.replace('/', '_')}\n`],
  ])('with %s is refused', (_name, text) => {
    expect(() => parseCheckpoint(text)).toThrow(refused);
  });

  test('is not written for an origin, size or root that could not be read back', () => {
    for (const origin of ['', 'a b', 'a\nb', 'a+b', 'DSSEv1 28 application']) {
      expect(() => encodeCheckpoint({ origin, size: 1, root })).toThrow(refused);
    }
    for (const size of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() => encodeCheckpoint({ origin: 'a', size, root })).toThrow(refused);
    }
    expect(() => encodeCheckpoint({ origin: 'a', size: 1, root: root.subarray(1) })).toThrow(refused);
  });
});
