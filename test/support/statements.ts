import type { StoreName, TestStores } from './databases.ts';
import { withClient } from './postgres.ts';

/** Waits until an active statement of the application whose text matches runs, or waits for a lock. */
export async function untilRunning(stores: TestStores, pattern: string, store: StoreName = 'eu-1'): Promise<void> {
  await withClient(stores.url(store), async (client) => {
    for (;;) {
      const { rowCount } = await client.query(
        `select from pg_stat_activity where usename = 'tenon_app' and state = 'active' and query ~ $1`,
        [pattern],
      );
      if ((rowCount ?? 0) > 0) return;
    }
  });
}
