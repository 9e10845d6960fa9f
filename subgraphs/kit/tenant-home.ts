import { setTimeout as sleep } from 'node:timers/promises';
import { TenonError } from '#schema/errors.ts';
import { storeKey, type StorePlace } from '#schema/tenant-store.ts';
import type { TenantScope } from './database.ts';
import { findTenant, forgetTenant } from './directory.ts';

/** What `tenon.enter` says where the rows of the tenant do not count, and where a move holds her still. */
const ELSEWHERE = 'TN001';
const HELD = 'TN002';
/** Longer than a move may hold a tenant; nobody waits for an answer much longer. */
const MOST_WAIT_MS = 6_000;
const FIRST_PAUSE_MS = 20;
const LAST_PAUSE_MS = 100;

/**
 * Runs work where the tenant lives. Where it meets a move as it begins, nothing was done: it is run again after the
 * move has let her go, in the store that the directory then names. A move that takes longer than it may is SERVICE_UNAVAILABLE.
 */
export async function atHome<Scope extends TenantScope, T>(
  scope: Scope,
  work: (scope: Scope) => Promise<T>,
): Promise<T> {
  try {
    return await work(scope);
  } catch (error) {
    if (moveOf(error) === null) throw error;
    return runAgain(scope, { work, met: error });
  }
}

async function runAgain<Scope extends TenantScope, T>(
  scope: Scope,
  { work, met }: { readonly work: (scope: Scope) => Promise<T>; readonly met: unknown },
): Promise<T> {
  const untilMs = performance.now() + MOST_WAIT_MS;
  let error = met;
  let home: StorePlace = scope.tenant;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS)) {
    const move = moveOf(error);
    if (move === null || performance.now() > untilMs || scope.signal?.aborted === true) throw error;
    const next = move === ELSEWHERE ? await homeOf(scope) : home;
    // The directory may still name the store that has let go of her.
    if (storeKey(next) === storeKey(home)) await sleep(pauseMs);
    home = next;
    try {
      return await work({ ...scope, tenant: { ...scope.tenant, ...home } });
    } catch (thrown) {
      error = thrown;
    }
  }
}

async function homeOf({ databases, tenant }: TenantScope): Promise<StorePlace> {
  forgetTenant(databases, tenant.tenant);
  const place = await findTenant(databases, tenant.tenant);
  return place === null ? tenant : { cell: place.cell, store: place.store };
}

/** What of a move a transaction has met, or null for another fault. */
function moveOf(error: unknown): string | null {
  const code = error instanceof TenonError ? (error.cause as { code?: unknown } | null | undefined)?.code : null;
  return code === ELSEWHERE || code === HELD ? code : null;
}
