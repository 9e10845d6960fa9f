import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AuditEvent } from '#schema/audit-event.ts';
import { mintId } from '#schema/ids.ts';
import {
  addPlaces,
  BLOCK_SIZE,
  blockWords,
  mergeParts,
  noPlaces,
  PART_COUNT,
  partOf,
  postingKey,
  SPAN_BLOCKS,
  type Level,
  type WordPart,
} from '#schema/search-block.ts';
import {
  actionPatterns,
  entryWords,
  fieldWord,
  foldText,
  holdsPhrase,
  MAX_TEXT_WORDS,
  OVERFLOWING_WORD,
  textWord,
  wordsOf,
} from '#schema/search-words.ts';

function eventWith(context: AuditEvent['context']): AuditEvent {
  return {
    id: mintId('aud'),
    tenant_id: mintId('tnt'),
    actor: { type: 'user', id: 'usr_1', ip: '203.0.113.7', ua: null },
    action: 'api_key.rotate.force',
    resource: { type: 'api_key', id: 'key_1', name: 'Ci Key' },
    context,
    session_id: null,
    request_id: 'req_1',
    ts: '2026-01-02T03:04:05.000Z',
  };
}

const wordsIn = (context: AuditEvent['context']) => entryWords({ outcome: 'denied', event: eventWith(context) });

describe('the words of a text', () => {
  it.each([
    ['usr_01h2.Share', ['usr', '01h2', 'share']],
    ['Ada.Lovelace@Example.com', ['ada', 'lovelace', 'example', 'com']],
    ['  --  ', []],
    ['Straße ÄRGER', ['straße', 'ärger']],
    ['ﬁne Ｆｕｌｌ', ['fine', 'full']],
    ['監査log監', ['監', '査', 'log', '監']],
    ['naïve cafe\u0301', ['naïve', 'café']],
    ['𝒳-ray', ['x', 'ray']],
  ])('%j are %j', (text, words) => expect(wordsOf(foldText(text))).toEqual(words));

  it('that stands in a value are all among the words of its entry, whatever the script', () => {
    const value = fc.string({
      unit: fc.oneof(
        fc.constantFrom('a', 'b', ' ', '1', '_', 'é', '漢', 'ß', '@', '.', '𝒳', '\u0301'),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      ),
    });
    fc.assert(
      fc.property(value, (text) => {
        const words = wordsIn({ note: text });
        expect(wordsOf(foldText(text)).filter((word) => !words.has(textWord(word)))).toEqual([]);
      }),
    );
  });

  it('hold the words of every phrase that is found in it', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'B', ' ', '.', '漢', 'é', '\u0301', '1', '𝒳'), maxLength: 12 });
    fc.assert(
      fc.property(text, fc.nat(12), fc.nat(12), (value, from, length) => {
        const phrase = foldText(value).slice(from, from + length);
        if (phrase === '' || !phrase.isWellFormed() || !holdsPhrase(foldText(value), phrase)) return;
        const words = new Set(wordsOf(foldText(value)));
        expect(wordsOf(phrase).filter((word) => !words.has(word))).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a phrase', () => {
  it.each([
    ['ada@example.com', 'ada@example', true],
    ['ada@example.com', 'da@example', false],
    ['ada@example.com', 'ada@exam', false],
    ['x ada', 'ada', true],
    ['adam ada', 'ada', true],
    ['監査', '査', true],
    ['a_b', 'b', true],
    ['e\u0301a', 'e', false],
    ['100%_', '%_', true],
  ])('in %j: %j stands there on its own: %j', (text, phrase, holds) => expect(holdsPhrase(text, phrase)).toBe(holds));
});

describe('the words of an entry', () => {
  it('are its fields, the patterns of its action and the words of its values, not of its names, tenant and time', () => {
    const words = wordsIn({ to: { list: ['Deep', 4711, true] } });
    const has = (word: number) => words.has(word);
    expect(actionPatterns('api_key.rotate.force')).toEqual(['api_key.*', 'api_key.rotate.*']);
    for (const action of ['api_key.rotate.force', 'api_key.*', 'api_key.rotate.*'])
      expect(has(fieldWord('action', action)), action).toBe(true);
    for (const text of ['deep', '4711', 'ci', 'rotate', '113', 'req']) expect(has(textWord(text)), text).toBe(true);
    for (const text of ['to', 'list', 'true', '2026', 'denied', 'tnt']) expect(has(textWord(text)), text).toBe(false);
    expect(
      has(fieldWord('actor', 'usr_1')) && has(fieldWord('resource', 'key_1')) && has(fieldWord('outcome', 'denied')),
    ).toBe(true);
    expect(has(fieldWord('actor', 'key_1'))).toBe(false);
  });

  it('are none of what is sealed', () => {
    const sealed = { $enc: { k: 'a'.repeat(22), i: 'b'.repeat(16), c: 'secretword'.padEnd(40, 'c') } };
    const event = eventWith({});
    const words = entryWords({ outcome: 'success', event });
    expect(entryWords({ outcome: 'success', event: { ...event, context: { email: sealed } } })).toEqual(words);
  });

  it('that has more text than the index takes are its fields and the mark that it has', () => {
    const many = (count: number) => ({ note: Array.from({ length: count }, (_, index) => `w${index}`).join(' ') });
    expect(wordsIn(many(MAX_TEXT_WORDS - 100)).has(OVERFLOWING_WORD)).toBe(false);
    const words = wordsIn(many(MAX_TEXT_WORDS + 1));
    expect([words.has(OVERFLOWING_WORD), words.has(textWord('w1')), words.has(fieldWord('actor', 'usr_1'))]).toEqual([
      true,
      false,
      true,
    ]);
  });
});

describe('the postings of a block', () => {
  /** The last bit of a hash is dropped. */
  const someWord = fc.integer({ min: 0, max: 2 ** 31 - 1 }).map((bits) => bits * 2);
  /** Words of all kinds: in one entry, in some, in a stretch of them, in nearly all. */
  const placed = fc.array(
    fc.tuple(fc.nat(BLOCK_SIZE - 1), fc.nat(BLOCK_SIZE - 1), fc.constantFrom(1, 2, 7, 100), someWord),
    { maxLength: 20 },
  );

  function fill(entries: readonly (readonly [number, number, number, number])[]) {
    const byPlace = Array.from({ length: BLOCK_SIZE }, (): number[] => []);
    const expected = new Map<number, Set<number>>();
    for (const [low, high, step, word] of entries) {
      const places = expected.get(word) ?? new Set();
      expected.set(word, places);
      for (let place = Math.min(low, high); place <= Math.max(low, high); place += step) {
        byPlace[place]?.push(word, word);
        places.add(place);
      }
    }
    const block = blockWords();
    for (const [place, words] of byPlace.entries()) block.add(place, words);
    return { parts: block.parts(), expected };
  }

  function placesOf(parts: readonly WordPart[], word: number, level: Level): number[] {
    const places = noPlaces(level);
    const postings = parts.find(({ part }) => part === partOf(word, level))?.postings ?? Buffer.alloc(0);
    if (postings.includes(postingKey(word))) addPlaces(places, postings, word);
    const found: number[] = [];
    for (const [at, bits] of places.entries()) {
      if (bits === 0) continue;
      for (let bit = 0; bit < 32; bit++) if ((bits >>> bit) & 1) found.push(at * 32 + bit);
    }
    return found;
  }

  it('lead every word to exactly the entries that hold it', () => {
    fc.assert(
      fc.property(placed, someWord, (entries, other) => {
        const { parts, expected } = fill(entries);
        for (const [word, places] of expected) {
          expect(placesOf(parts, word, 0)).toEqual([...places].sort((a, b) => a - b));
        }
        if (!expected.has(other)) expect(placesOf(parts, other, 0)).toEqual([]);
      }),
    );
  });

  it('of all blocks of a span, merged, do so too', () => {
    fc.assert(
      fc.property(placed, placed, fc.nat(SPAN_BLOCKS - 2), (one, other, first) => {
        const blocks = new Map([
          [SPAN_BLOCKS - 1, fill([...other, ...one].slice(0, 6))],
          [first, fill(one.slice(0, 6))],
        ]);
        const spanParts = Array.from({ length: PART_COUNT }, (_, part) => {
          const postings = [...blocks].flatMap(([block, { parts }]) =>
            parts.filter((each) => each.part === part).map((each): [number, Buffer] => [block, each.postings]),
          );
          return mergeParts(part, new Map(postings));
        }).flat();
        for (const word of [...blocks.values()].flatMap(({ expected }) => [...expected.keys()])) {
          const places = [first, SPAN_BLOCKS - 1].flatMap((block) =>
            [...(blocks.get(block)?.expected.get(word) ?? [])].map((place) => block * BLOCK_SIZE + place),
          );
          expect(placesOf(spanParts, word, 1)).toEqual(places.sort((a, b) => a - b));
        }
      }),
      { numRuns: 10 },
    );
  });
});
