import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { entryBytes, entryLeaf, ZERO_PREV } from '#schema/audit-event.ts';
import { mintId } from '#schema/ids.ts';
import { Frontier } from '#schema/merkle.ts';
import {
  MAX_SEGMENT_BYTES,
  MAX_SEGMENT_ENTRIES,
  packSegment,
  readSegment,
  segmentLines,
  unpackSegment,
} from '../../compliance/segment.ts';
import { anEvent } from './an-event.ts';

const tenant = mintId('tnt');
const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });

function linesOf(count: number): Buffer[] {
  let prev = ZERO_PREV;
  return Array.from({ length: count }, (_, seq) => {
    const line = entryBytes({ v: 1, seq, prev, outcome: 'success', action_version: 1, event: anEvent(tenant) });
    prev = entryLeaf(line).toString('hex');
    return line;
  });
}

const read = (lines: readonly Buffer[]) => readSegment(lines, { frontier: new Frontier(), prev: ZERO_PREV });
const at = (lines: readonly Buffer[], index: number): Buffer => lines[index] ?? expect.fail(`no line ${index}`);

describe('a segment', () => {
  test('is the lines, each with its line break, and goes on where the frontier stands', () => {
    const lines = linesOf(5);
    const frontier = new Frontier();
    const first = readSegment(lines.slice(0, 2), { frontier, prev: ZERO_PREV });
    const second = readSegment(lines.slice(2), { frontier, prev: first.lastLeaf });
    expect(Buffer.concat([first.bytes, second.bytes]).toString()).toBe(
      lines.map((line) => `${line.toString()}\n`).join(''),
    );
    expect(second.sha256).toBe(createHash('sha256').update(second.bytes).digest('hex'));
    expect(second.entries.map(({ seq }) => seq)).toEqual([2, 3, 4]);
    expect(second.leaves).toEqual(lines.slice(2).map((line) => entryLeaf(line)));
    expect(second.lastLeaf).toBe(entryLeaf(at(lines, 4)).toString('hex'));
    expect(frontier.size).toBe(5);
    expect(segmentLines(first.bytes)).toEqual(lines.slice(0, 2));
  });

  test('with an entry left out, changed, doubled, swapped or of another form is refused', () => {
    const lines = linesOf(4);
    const [a, b, c, d] = [at(lines, 0), at(lines, 1), at(lines, 2), at(lines, 3)];
    const changed = Buffer.from(b.toString().replace('viewer', 'editor'));
    expect(changed.equals(b)).toBe(false);
    for (const wrong of [[a, c, d], [a, changed, c], [a, b, b, c], [b, a, c], [a, Buffer.from('{}')], []]) {
      expect(() => read(wrong)).toThrow(refused);
    }
    expect(() => readSegment(lines, { frontier: new Frontier(), prev: 'f'.repeat(64) })).toThrow(refused);
    expect(read(lines).entries).toHaveLength(4);
  });
});

describe('the lines of a segment', () => {
  test.each([
    ['an unfinished line', Buffer.from('a\nb')],
    ['an empty line', Buffer.from('a\n\nb\n')],
    ['a line longer than an entry', Buffer.from(`${'a'.repeat(65_536)}\n`)],
    ['too many bytes', Buffer.alloc(MAX_SEGMENT_BYTES + 1, 'a')],
    ['too many lines', Buffer.from('a\n'.repeat(MAX_SEGMENT_ENTRIES + 1))],
  ])('with %s are refused', (_, bytes) => {
    expect(() => segmentLines(bytes)).toThrow(refused);
  });

  test('of nothing are none', () => {
    expect(segmentLines(Buffer.alloc(0))).toEqual([]);
  });
});

describe('the gzip file of a segment', () => {
  test('has always the same bytes, without time, name or system', async () => {
    const bytes = Buffer.from('{"a":1}\n'.repeat(1000));
    const packed = await packSegment(bytes);
    expect(packed.subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff');
    expect(await packSegment(bytes)).toEqual(packed);
    expect(await unpackSegment(packed)).toEqual(bytes);
  });

  test('that is none, is cut, or swells beyond a segment is refused', async () => {
    const packed = await packSegment(Buffer.from('abc\n'.repeat(100)));
    await expect(unpackSegment(Buffer.from('abc'))).rejects.toEqual(refused);
    await expect(unpackSegment(packed.subarray(0, -4))).rejects.toEqual(refused);
    await expect(unpackSegment(gzipSync(Buffer.alloc(MAX_SEGMENT_BYTES + 1)))).rejects.toEqual(refused);
  });
});
