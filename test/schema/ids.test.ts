import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ID_PREFIXES, idOf, mintId, uuidOf, uuidOrNull, uuidv7 } from '#schema/ids.ts';

describe('public ids', () => {
  it('stand for every UUID and back', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.constantFrom(...ID_PREFIXES), (uuid, prefix) => {
        expect(uuidOf(prefix, idOf(prefix, uuid))).toBe(uuid);
      }),
    );
  });

  it('of another kind, another case or another shape name nothing', () => {
    const id = mintId('usr');
    for (const text of [
      id.replace('usr', 'grp'),
      id.toUpperCase(),
      `${id}0`,
      id.slice(0, -1),
      'usr_',
      '',
      `usr_8${'0'.repeat(25)}`,
      id.replace(/.$/, 'u'),
    ]) {
      expect(uuidOrNull('usr', text)).toBeNull();
      expect(() => uuidOf('usr', text)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    }
  });
});

describe('UUIDv7', () => {
  it('rises with every call, also ten thousand times in one millisecond and when the clock jumps back', () => {
    const start = Date.now() + 1_000_000;
    const made = Array.from({ length: 10_000 }, (_, call) => uuidv7(call < 5_000 ? start : start - 3_600_000));
    expect(made.toSorted()).toEqual(made);
    expect(new Set(made).size).toBe(made.length);
    for (const uuid of made.slice(0, 50))
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
