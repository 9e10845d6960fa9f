import { inTenantAudit, inTenantOnce } from '#kit/database.ts';
import { openEvents } from '#kit/personal-values.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { AuditEvent } from '#schema/audit-event.ts';
import { holdsText, indexTokens } from '#schema/blind-index.ts';
import { sealedFields, type OpenedEvent } from '#schema/sealed-event.ts';
import { entryOf, readRanges, type EntryPlace, type EntryRow } from './entries.ts';
import type { EntrySearch, FoundEntries } from './search.ts';
import { holdsPhrases, type Term } from './search-terms.ts';

/** Which entries to find by phrases of which one at least stands in a sealed value of theirs. */
export interface SealedSearch {
  /** Folded; each stands in a sealed value or in another value of the event. */
  readonly phrases: readonly string[];
  /** What else has to fit. */
  readonly terms: readonly Term[];
  readonly order: 'asc' | 'desc';
  /** Begin behind this place in the order of the search. */
  readonly behind: EntryPlace | null;
  /** Look at nothing from this place on. */
  readonly until?: EntryPlace;
  readonly limit: number;
}

/** Blocks of 256 entries that a token leads to, as the sequencer cuts them. */
const BLOCK_SIZE = 256;
/** Blocks read by one statement, and by one search. */
const BLOCKS_AT_ONCE = 16;
const MOST_BLOCKS = 96;

/** Returns the tokens that each phrase is looked for by; none where the tenant has no index, or for one without a word. */
async function tokensFor(ctx: RequestContext, phrases: readonly string[]): Promise<Buffer[][]> {
  // What an operator may not see, she does not find either.
  if (ctx.tenant.support?.personal === false) return [];
  const { personalKeys } = ctx.databases;
  const key = await inTenantOnce({ ...ctx, asPlatform: true }, (tx) => personalKeys.indexKey(tx, ctx.tenant.tenant));
  if (key === null) return [];
  return phrases.map((phrase) => indexTokens(key, phrase)).filter((tokens) => tokens.length > 0);
}

/**
 * Finds entries in which a sealed value holds a phrase, by the blind index, and all phrases stand in some value; each is
 * opened before it counts as found. The work of one call is bounded, and a later call goes on where this one stopped.
 */
export async function searchSealed(ctx: RequestContext, search: SealedSearch): Promise<FoundEntries> {
  const tokens = await tokensFor(ctx, search.phrases);
  if (tokens.length === 0) return { rows: [], stoppedAt: null };
  const blocks = await findBlocks(ctx, tokens, search);
  const rows: EntryRow[] = [];
  for (let at = 0; at < Math.min(blocks.length, MOST_BLOCKS); at += BLOCKS_AT_ONCE) {
    for (const { epoch, numbers } of byEpoch(blocks.slice(at, Math.min(at + BLOCKS_AT_ONCE, MOST_BLOCKS)))) {
      rows.push(...(await readHolding(ctx, { epoch, numbers }, search)));
      if (rows.length >= search.limit) return { rows: rows.slice(0, search.limit), stoppedAt: null };
    }
  }
  const last = blocks[MOST_BLOCKS - 1];
  return { rows, stoppedAt: last === undefined || blocks.length <= MOST_BLOCKS ? null : edgeOf(last, search.order) };
}

/**
 * Returns what a search has found together with what the blind index adds: entries in which a phrase stands in a sealed
 * value. Both come in the order of the search, and nothing beyond where either stopped.
 */
export async function withSealed(
  ctx: RequestContext,
  found: FoundEntries,
  { query: { phrases, fieldTerms }, ...search }: EntrySearch,
): Promise<FoundEntries> {
  if (phrases.length === 0) return found;
  const sealed = await searchSealed(ctx, { ...search, phrases, terms: fieldTerms });
  const sign = search.order === 'asc' ? 1 : -1;
  const byPlace = (a: EntryPlace, b: EntryPlace) => sign * (a.epoch - b.epoch || a.seq - b.seq);
  const stops = [found.stoppedAt, sealed.stoppedAt].filter((stop) => stop !== null).toSorted(byPlace);
  const [stoppedAt = null] = stops;
  const rows = new Map([...found.rows, ...sealed.rows].map((row) => [`${row.epoch}.${row.seq}`, row]));
  const merged = [...rows.values()].toSorted(byPlace);
  const seen = stoppedAt === null ? merged : merged.filter((row) => byPlace(row, stoppedAt) <= 0);
  return { rows: seen.slice(0, search.limit), stoppedAt: seen.length >= search.limit ? null : stoppedAt };
}

interface Block {
  readonly epoch: number;
  readonly block: number;
}

/** Blocks in which one person's values hold every word of a phrase, in the order of the search. */
async function findBlocks(ctx: RequestContext, tokens: readonly Buffer[][], search: SealedSearch): Promise<Block[]> {
  const { order, behind, until } = search;
  const [low, high] = order === 'asc' ? [behind, until ?? null] : [null, behind ?? until ?? null];
  return inTenantAudit(ctx, (tx) =>
    tx.query<Block>(
      `select distinct epoch, block from (
         select phrase, words, key_id, epoch, block
           from unnest($1::integer[], $2::integer[], $3::bytea[]) as w (phrase, words, wanted)
           join log_index_tokens on token = wanted
          where ($4::integer is null or (epoch, block) >= ($4, $5)) and ($6::integer is null or (epoch, block) <= ($6, $7))
          group by phrase, words, key_id, epoch, block having count(*) = words) as holding
        order by epoch ${order}, block ${order} limit ${MOST_BLOCKS + 1}`,
      [
        tokens.flatMap((each, phrase) => each.map(() => phrase)),
        tokens.flatMap((each) => each.map(() => each.length)),
        tokens.flat(),
        low?.epoch ?? null,
        blockOf(low),
        high?.epoch ?? null,
        blockOf(high),
      ],
    ),
  );
}

function blockOf(place: EntryPlace | null): number | null {
  return place === null ? null : Math.floor(place.seq / BLOCK_SIZE);
}

function byEpoch(blocks: readonly Block[]): { epoch: number; numbers: number[] }[] {
  const epochs = [...new Set(blocks.map(({ epoch }) => epoch))];
  return epochs.map((epoch) => ({
    epoch,
    numbers: blocks.filter((block) => block.epoch === epoch).map(({ block }) => block),
  }));
}

async function readHolding(
  ctx: RequestContext,
  { epoch, numbers }: { readonly epoch: number; readonly numbers: readonly number[] },
  { phrases, terms, order, behind, until }: SealedSearch,
): Promise<EntryRow[]> {
  const ranges = numbers.map((number) => ({ low: number * BLOCK_SIZE, high: (number + 1) * BLOCK_SIZE }));
  const read = await inTenantAudit(ctx, (tx) => readRanges(tx, { epoch, ranges, order, terms, limitEach: BLOCK_SIZE }));
  const rows = read
    .filter((row) => isBetween(row, { order, behind, until }))
    .map((row) => ({ row, event: entryOf(row).event }))
    .filter(({ event }) => sealedFields(event).length > 0);
  const opened = await openEvents(
    ctx,
    rows.map(({ event }) => event),
  );
  return rows
    .filter(({ event }, index) => {
      const holds = (phrase: string) => holdsSealed(event, opened[index], phrase);
      return phrases.some(holds) && holdsPhrases(event, phrases, holds);
    })
    .map(({ row }) => row);
}

function isBetween(
  row: EntryRow,
  { order, behind, until }: Pick<SealedSearch, 'order' | 'behind'> & { until: EntryPlace | undefined },
): boolean {
  const isBehind = behind === null || (order === 'asc' ? isAfter(row, behind) : isAfter(behind, row));
  return isBehind && (until === undefined || isAfter(until, row));
}

function isAfter(one: EntryPlace, other: EntryPlace): boolean {
  return one.epoch === other.epoch ? one.seq > other.seq : one.epoch > other.epoch;
}

/** Whether one of the values that are sealed in the log holds the text, now that they are open. */
function holdsSealed(event: AuditEvent, opened: OpenedEvent | undefined, text: string): boolean {
  if (opened === undefined) return false;
  const paths = sealedFields(event).map(({ path }) => path);
  const texts = { 'actor.ip': opened.actor.ip, 'resource.name': opened.resource.name } as const;
  return paths.some((path) => {
    if (path === 'actor.ip' || path === 'resource.name') return holdsText(texts[path], text);
    return path.startsWith('context.') && holdsText(opened.context[path.slice('context.'.length)] ?? null, text);
  });
}

/** The place behind which lies what the search has not looked at. */
function edgeOf({ epoch, block }: Block, order: 'asc' | 'desc'): EntryPlace {
  return { epoch, seq: order === 'desc' ? block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE - 1 };
}
