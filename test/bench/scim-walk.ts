import type { SendScim } from './scim-rate.ts';

/** What a walk over all users came to. */
export interface Walk {
  readonly seen: number;
  /** Users who were there from the first page to the last and on none of them. */
  readonly lost: number;
  readonly repeated: number;
  /** Of each page. */
  readonly latenciesMs: readonly number[];
}

interface Page {
  readonly Resources: readonly { readonly id: string }[];
  readonly totalResults: number;
  readonly nextCursor?: string;
}

const PAGE_SIZE = 200;

/** Walks all users of a tenant while so many whom it has met are deleted at the same time. */
export async function walkUsers(
  send: SendScim,
  { by, deletions }: { readonly by: 'cursor' | 'index'; readonly deletions: number },
): Promise<Walk> {
  const read = async (path: string): Promise<Page> => JSON.parse(await send({ method: 'GET', path })) as Page;
  const before = await idsThere(read);
  const seen: string[] = [];
  const deleted: string[] = [];
  const deleting: Promise<unknown>[] = [];
  const latenciesMs: number[] = [];
  let place: string | undefined = by === 'cursor' ? 'cursor=' : 'startIndex=1';
  while (place !== undefined) {
    const started = performance.now();
    const page = await read(`/Users?attributes=id&count=${PAGE_SIZE}&${place}`);
    latenciesMs.push(performance.now() - started);
    seen.push(...page.Resources.map(({ id }) => id));
    const [gone] = page.Resources;
    if (gone !== undefined && deleted.length < deletions) {
      deleted.push(gone.id);
      deleting.push(send({ method: 'DELETE', path: `/Users/${gone.id}` }));
    }
    place = by === 'cursor' ? nextByCursor(page) : nextByIndex(page, seen.length);
  }
  await Promise.all(deleting);
  const met = new Set(seen);
  const gone = new Set(deleted);
  return {
    seen: met.size,
    lost: before.filter((id) => !met.has(id) && !gone.has(id)).length,
    repeated: seen.length - met.size,
    latenciesMs,
  };
}

function nextByCursor({ nextCursor }: Page): string | undefined {
  return nextCursor === undefined ? undefined : `cursor=${nextCursor}`;
}

function nextByIndex({ Resources }: Page, seen: number): string | undefined {
  return Resources.length === 0 ? undefined : `startIndex=${seen + 1}`;
}

/** While nobody goes. */
async function idsThere(read: (path: string) => Promise<Page>): Promise<string[]> {
  const ids: string[] = [];
  let total = Number.POSITIVE_INFINITY;
  while (ids.length < total) {
    const page = await read(`/Users?attributes=id&count=${PAGE_SIZE}&startIndex=${ids.length + 1}`);
    total = page.totalResults;
    ids.push(...page.Resources.map(({ id }) => id));
  }
  return ids;
}
