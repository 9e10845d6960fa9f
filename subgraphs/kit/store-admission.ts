import { readdir } from 'node:fs/promises';
import type pg from 'pg';
import { fail } from '#schema/errors.ts';
import { DATABASE_KINDS, sqlPath } from './database-setup.ts';

/**
 * Returns the function that passes a store whose migrations are as far as this program's or further; one that is behind,
 * for the wave of migrations has not come to it, is SERVICE_UNAVAILABLE, as is one that the directory does not know.
 */
export function newStoreAdmission(
  directory: Pick<pg.Pool, 'query'>,
): (place: { readonly cell: string; readonly store: string }) => Promise<void> {
  const wanted = storeVersion();
  // Awaited where it is needed; a folder that cannot be read shall not end the process before.
  wanted.catch(() => undefined);
  return async ({ cell, store }) => {
    const { rows } = await directory
      .query<{ version: number }>('select version from stores where cell = $1 and name = $2', [cell, store])
      .catch((cause: unknown) =>
        fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${String(cause)}`, { cause }),
      );
    const version = rows[0]?.version ?? fail('SERVICE_UNAVAILABLE', `the cell ${cell} has no store ${store}`);
    const least = await wanted;
    if (version < least) fail('SERVICE_UNAVAILABLE', `the store ${store} of ${cell} stands at ${version} of ${least}`);
  };
}

/** Returns how many migrations a store has that is as new as this program. */
export async function storeVersion(): Promise<number> {
  const folders = await Promise.all(DATABASE_KINDS.cell.map((folder) => readdir(sqlPath(folder))));
  return folders.flat().filter((file) => file.endsWith('.sql')).length;
}
