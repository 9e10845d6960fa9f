import type { Authenticated } from '#kit/credential-cache.ts';
import type { Change, ChangeFeed } from '#kit/change-feed.ts';
import { asTenonError, TenonError } from '#schema/errors.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { storeKey } from '#schema/tenant-store.ts';

/** A request that is being answered, and how to find out whether it still may be. */
export interface RequestUnderWay {
  readonly tenant: TenantContext;
  /** When it was let in, by the clock of `performance.now()`. */
  readonly startedMs: number;
  /** Authenticates it once more, as if it came now. */
  readonly again: () => Authenticated | Promise<Authenticated>;
  /** Ends it before its answer is complete. */
  readonly end: (reason: TenonError) => void;
}

/**
 * The requests that a gateway is answering: exports, streams and slow operations end with the access that they were
 * let in by. It holds one small object for each, and thus no more than there are connections.
 */
export interface RequestsUnderWay {
  /** Returns the place of the request, to leave it by. */
  readonly enter: (request: RequestUnderWay) => number;
  /** Forgets the request at a place, when it is over. */
  readonly leave: (place: number) => void;
  readonly close: () => void;
}

/** Nearly every request is over by then, and needs no look at its credential. */
const SHORT_MS = 400;
/** How often long requests of a cell are looked at whose news does not arrive. */
const NO_NEWS_MS = 500;
/** Credentials that are read at the same moment. */
const MOST_AT_ONCE = 8;

/**
 * Makes an empty register. Less than half a second after news of a tenant's credentials, whoever is still being answered is
 * authenticated again; while no news of a cell arrives, twice a second. Who is refused, has lost a right, or cannot be
 * looked up is ended.
 */
export function newRequestsUnderWay(feed: Pick<ChangeFeed, 'subscribe' | 'isLive'>): RequestsUnderWay {
  // Places are taken again and again. A Set would leave a dead table behind now and then, by which the collector of young
  // objects takes all that was in it for alive: that cost a fifth of a small request.
  const places: (RequestUnderWay | null)[] = [];
  const free: number[] = [];
  const all = () => places.filter((request) => request !== null);
  const timers = new Set<NodeJS.Timeout>();
  const due = new Map<string, { sinceMs: number }>();
  const unsubscribe = feed.subscribe((change) => {
    if (change.topic !== 'credentials' || free.length === places.length) return;
    const key = `${change.cell} ${change.tenant ?? '*'}`;
    const known = due.get(key);
    const news = { sinceMs: performance.now() };
    if (known !== undefined) {
      known.sinceMs = news.sinceMs;
      return;
    }
    due.set(key, news);
    const timer = setTimeout(() => {
      timers.delete(timer);
      due.delete(key);
      void check(all().filter((request) => request.startedMs <= news.sinceMs && isAbout(change, request)));
    }, SHORT_MS).unref();
    timers.add(timer);
  });
  const watch = setInterval(() => {
    const beforeMs = performance.now() - SHORT_MS;
    const blind = all().filter(({ tenant, startedMs }) => startedMs < beforeMs && !feed.isLive(tenant));
    if (blind.length > 0) void check(blind);
  }, NO_NEWS_MS).unref();
  return {
    enter: (request) => {
      const place = free.pop() ?? places.length;
      places[place] = request;
      return place;
    },
    leave: (place) => {
      places[place] = null;
      free.push(place);
    },
    close: () => {
      unsubscribe();
      clearInterval(watch);
      for (const timer of timers) clearTimeout(timer);
    },
  };

  async function check(requests: readonly RequestUnderWay[]): Promise<void> {
    const waiting = requests.values();
    await Promise.all(
      Array.from({ length: MOST_AT_ONCE }, async () => {
        for (const request of waiting) if (places.includes(request)) await checkOne(request);
      }),
    );
  }
}

function isAbout({ cell, tenant }: Change, request: RequestUnderWay): boolean {
  return tenant === null ? storeKey(request.tenant) === cell : request.tenant.tenant === tenant;
}

async function checkOne(request: RequestUnderWay): Promise<void> {
  try {
    const { tenant } = await request.again();
    const lost = request.tenant.scopes.find((scope) => !tenant.scopes.includes(scope));
    if (lost !== undefined) request.end(new TenonError('FORBIDDEN', `the right ${lost} was taken away meanwhile`));
  } catch (thrown) {
    // Whoever cannot be looked up may have lost her access as well.
    request.end(asTenonError(thrown));
  }
}
