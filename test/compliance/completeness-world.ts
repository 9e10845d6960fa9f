import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll } from 'vitest';
import { compose } from '#kit/composition.ts';
import { readConfig } from '#schema/config.ts';
import { subgraphs } from '#subgraphs';
import { startGateway } from '../../gateway/server.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { reconcile, type ReconcileOptions, type ReconcileScope } from '../../compliance/platform/reconcile-turn.ts';
import { readReconciliation, type CellReconciliation } from '../../compliance/platform/reconcile-report.ts';
import { sequence } from '../../compliance/sequencer.ts';
import { openHouse, type House } from '../support/house.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

/** A house whose mutations are held against its log. */
export interface CompletenessWorld {
  readonly house: House;
  /** Pools of `tenon_worker` over eu-1, and of the superuser. */
  readonly tenants: pg.Pool;
  readonly audit: pg.Pool;
  readonly superuserOfTenants: pg.Pool;
  readonly superuserOfAudit: pg.Pool;
  /** Lets a gateway of its own serve the work; when it is closed, its notes are stored. */
  served<T>(work: (send: Send) => Promise<T>): Promise<T>;
  /** Moves what is in the outbox into the logs. */
  sequenceAll(): Promise<void>;
  /** Reconciles two hours from now, when the hour of the test is over. */
  reconcile(options?: Partial<ReconcileOptions>, scope?: ReconcileScope): Promise<CellReconciliation>;
}

/** Sends a request to the gateway under test. */
export type Send = (
  token: string,
  path: string,
  init: { method?: string; body: object; type?: string },
) => Promise<{
  readonly status: number;
  readonly body: { readonly data?: Record<string, never> | null; readonly errors?: readonly object[] } & Record<
    string,
    never
  >;
}>;

/** Opens a world; it is closed when the test file ends. */
export async function openCompletenessWorld(): Promise<CompletenessWorld> {
  const house = await openHouse();
  const pools = [
    house.stores.url('eu-1', 'tenon_worker'),
    house.stores.url('eu-1 audit', 'tenon_worker'),
    house.stores.url('eu-1'),
    house.stores.url('eu-1 audit'),
  ].map((connectionString) => new pg.Pool({ connectionString, max: 4 }));
  for (const pool of pools) pool.on('error', () => undefined);
  afterAll(() => Promise.all(pools.map((pool) => pool.end())));
  const [tenants, audit, superuserOfTenants, superuserOfAudit] = pools as [pg.Pool, pg.Pool, pg.Pool, pg.Pool];
  return {
    house,
    tenants,
    audit,
    superuserOfTenants,
    superuserOfAudit,
    served: (work) => serve(house, work),
    sequenceAll: async () => {
      const outbox = outboxOf(tenants);
      for (;;) {
        const rows = await outbox.take({ limit: 1000, skipPositions: [], skipTenants: [] });
        // None is taken while an older transaction runs, in any database of the server, so none is no sign of the end.
        if (rows.length === 0 && (await isEmpty(superuserOfTenants))) return;
        const { settled } = await sequence(audit, rows, new Date());
        await outbox.remove(settled);
      }
    },
    reconcile: async (options = {}, scope = {}) => {
      const clock = () => new Date(Date.now() + 2 * 3_600_000);
      await reconcile({ tenants, audit, cell: 'eu-1', clock, log: () => undefined, ...options }, scope);
      return readReconciliation({ tenants, audit, cell: 'eu-1' }, { tenantId: null, hour: null });
    },
  };
}

async function isEmpty(superuser: pg.Pool): Promise<boolean> {
  const { rowCount } = await superuser.query('select from app.outbox limit 1');
  return rowCount === 0;
}

async function serve<T>(house: House, work: (send: Send) => Promise<T>): Promise<T> {
  const gateway = await startGateway({
    platform: { ...house.platform, config: readConfig({ PORT: '0', TENON_HOME: house.platform.config.home }) },
    subgraphs,
    supergraphSdl: compose(subgraphs),
    operationsFolder: fileURLToPath(new URL('../../schema/operations', import.meta.url)),
    verifierKey: TEST_SIGNING_KEY.verifierKey,
  });
  try {
    return await work(async (token, path, { method = 'POST', body, type = 'application/json' }) => {
      const answer = await fetch(`${gateway.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': type },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: await answer.json() };
    });
  } finally {
    await gateway.close();
  }
}
