import { MAX_PAGE_SIZE, type Connection } from '#kit/connection.ts';
import { fail } from '#schema/errors.ts';
import type { EntryPlace } from './entries.ts';
import type { AuditEventArgs } from './inputs.ts';
import type { AuditEvent } from './model.ts';
import type { EntrySearch } from './search.ts';

/** A page of the log, newest first, as a search that reads one entry more than the page holds. */
export type LogPage = Pick<EntrySearch, 'order' | 'behind' | 'limit'>;

/** What the search of a page has found, in its order. */
export interface FoundEvents {
  readonly events: readonly AuditEvent[];
  readonly stoppedAt: EntryPlace | null;
}

const DEFAULT_PAGE_SIZE = 20;
/** Longest cursor of ours in base64url. */
const MAX_CURSOR_LENGTH = 64;
const PLACE = /^(\d{1,9})\.(\d{1,15})$/;

/**
 * Returns the page that the arguments ask for: forwards with `first` and `after`, backwards with `last` and `before`
 * (Relay Cursor Connections). Both at once, a size outside 0..100 and a cursor that is not ours are BAD_USER_INPUT.
 */
export function logPage({ first, after, last, before }: Omit<AuditEventArgs, 'filter' | 'view'>): LogPage {
  const isBackward = last != null || before != null;
  if (isBackward && (first != null || after != null)) {
    fail('BAD_USER_INPUT', 'both directions', { hint: 'It takes "first" and "after", or "last" and "before".' });
  }
  const size = (isBackward ? last : first) ?? DEFAULT_PAGE_SIZE;
  if (size < 0 || size > MAX_PAGE_SIZE) {
    fail('BAD_USER_INPUT', 'page size out of range', {
      hint: `"${isBackward ? 'last' : 'first'}" takes 0 to ${MAX_PAGE_SIZE}.`,
    });
  }
  const cursor = isBackward ? before : after;
  return {
    order: isBackward ? 'asc' : 'desc',
    behind: cursor == null ? null : placeOf(cursor),
    limit: size + 1,
  };
}

/**
 * Returns the page. Where the search stopped before the page was full, the page says that there is more, and its cursor on
 * that side is the place where the search goes on, which then is no entry's own.
 */
export function pageOfLog(
  { order, behind, limit }: LogPage,
  { events, stoppedAt }: FoundEvents,
): Connection<AuditEvent> {
  const found = events.slice(0, limit - 1);
  const nodes = order === 'desc' ? found : found.toReversed();
  const edges = nodes.map((node) => ({ node, cursor: cursorOf(node) }));
  const hasMore = events.length >= limit || stoppedAt !== null;
  const stop = stoppedAt === null ? null : cursorOf(stoppedAt);
  const [start, end] = [edges[0]?.cursor ?? null, edges.at(-1)?.cursor ?? null];
  return {
    edges,
    pageInfo:
      order === 'desc'
        ? { hasNextPage: hasMore, hasPreviousPage: behind !== null, startCursor: start ?? stop, endCursor: stop ?? end }
        : {
            hasNextPage: behind !== null,
            hasPreviousPage: hasMore,
            startCursor: stop ?? start,
            endCursor: end ?? stop,
          },
  };
}

function cursorOf({ epoch, seq }: EntryPlace): string {
  return Buffer.from(`${epoch}.${seq}`).toString('base64url');
}

function placeOf(cursor: string): EntryPlace {
  const text = cursor.length <= MAX_CURSOR_LENGTH && /^[\w-]+$/.test(cursor) ? cursor : '';
  const [, epoch, seq] = PLACE.exec(Buffer.from(text, 'base64url').toString('utf8')) ?? [];
  if (epoch === undefined || seq === undefined) {
    fail('BAD_USER_INPUT', 'cursor not ours', { hint: '"after" and "before" take a cursor of an earlier page.' });
  }
  return { epoch: Number(epoch), seq: Number(seq) };
}
