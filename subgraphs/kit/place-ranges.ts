import type { Places } from '#schema/search-block.ts';

/** Entries with `low <= seq < high`. */
export interface SeqRange {
  readonly low: number;
  readonly high: number;
}

/** What of a block or a span is wanted, and in which order. */
export interface WantedPlaces extends SeqRange {
  /** The number of the entry that stands at the first place. */
  readonly base: number;
  readonly order: 'asc' | 'desc';
}

const BITS = 32;

/** Yields the places that are wanted as ranges of the log, those that touch as one, in their order. */
export function* placeRanges(places: Places, { base, low, high, order }: WantedPlaces): Generator<SeqRange> {
  let open: SeqRange | null = null;
  for (const place of eachPlace(places, order === 'desc')) {
    const seq = base + place;
    if (seq < low || seq >= high) continue;
    const grown: SeqRange | null = open === null ? null : extended(open, seq);
    if (grown === null && open !== null) yield open;
    open = grown ?? { low: seq, high: seq + 1 };
  }
  if (open !== null) yield open;
}

function* eachPlace(places: Places, isDescending: boolean): Generator<number> {
  for (let step = 0; step < places.length; step++) {
    const at = isDescending ? places.length - 1 - step : step;
    let bits = places[at] ?? 0;
    while (bits !== 0) {
      const bit = BITS - 1 - Math.clz32(isDescending ? bits : bits & -bits);
      yield at * BITS + bit;
      bits &= ~(1 << bit);
    }
  }
}

/** The range with the entry beside it; null where it lies elsewhere. */
function extended({ low, high }: SeqRange, seq: number): SeqRange | null {
  if (seq === high) return { low, high: high + 1 };
  return seq === low - 1 ? { low: seq, high } : null;
}
