import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AuditEvent } from '#schema/audit-event.ts';
import { mintId } from '#schema/ids.ts';
import { BLOCK_SIZE, blockWords, partOf, RUN_SIZE, runsOf } from '#schema/search-block.ts';
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
  it('lead every word to exactly the runs that hold it', () => {
    const placed = fc.array(fc.tuple(fc.nat(BLOCK_SIZE - 1), fc.integer({ min: 0, max: 2 ** 32 - 1 })), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(placed, (entries) => {
        const block = blockWords();
        const expected = new Map<number, bigint>();
        for (const [place, word] of entries.toSorted(([a], [b]) => a - b)) {
          block.add(place, [word, word]);
          expected.set(word, (expected.get(word) ?? 0n) | (1n << BigInt(Math.floor(place / RUN_SIZE))));
        }
        const parts = new Map(block.parts().map(({ part, postings }) => [part, postings]));
        for (const [word, runs] of expected)
          expect(runsOf(parts.get(partOf(word)) ?? Buffer.alloc(0), word)).toBe(runs);
        expect(runsOf(Buffer.alloc(0), 5)).toBe(0n);
      }),
    );
  });
});
