import { inTenantOnce, type Databases } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import type { TenantContext } from '#schema/tenant-context.ts';

/** When operations ran last, gathered so that no request writes. */
export interface LastUse {
  /** Notes a run; more than can be kept until the next writing are left out. */
  note(ctx: TenantContext, key: string, now: Date): void;
  /** Writes what is noted, with one statement a tenant; one that fails is logged and left out. */
  flush(): Promise<void>;
  /** Writes what is noted, and ends. */
  close(): Promise<void>;
}

interface Use {
  readonly client: string;
  readonly key: string;
  at: Date;
}

interface TenantUses {
  readonly ctx: TenantContext;
  readonly uses: Map<string, Use>;
}

const WRITE_EVERY_MS = 60_000;
const MOST_TENANTS = 10_000;
const MOST_OPERATIONS = 2_000;

/** Returns the notes of one process, which writes them once a minute. */
export function newLastUse(databases: Databases): LastUse {
  let pending = new Map<string, TenantUses>();
  const flush = async () => {
    const tenants = [...pending.values()];
    pending = new Map();
    for (const tenant of tenants) await write(databases, tenant);
  };
  let writing = Promise.resolve();
  const flushInTurn = () => (writing = writing.then(flush));
  const timer = setInterval(() => void flushInTurn(), WRITE_EVERY_MS).unref();
  return {
    note(ctx, key, now) {
      const { tenant, client } = ctx;
      if (client === null) return;
      const known = pending.get(tenant);
      if (known === undefined && pending.size >= MOST_TENANTS) return;
      const { uses } = known ?? { uses: new Map<string, Use>() };
      if (known === undefined) pending.set(tenant, { ctx, uses });
      const name = `${client} ${key}`;
      const use = uses.get(name);
      if (use !== undefined) use.at = now;
      else if (uses.size < MOST_OPERATIONS) uses.set(name, { client, key, at: now });
    },
    flush: flushInTurn,
    async close() {
      clearInterval(timer);
      await flushInTurn();
    },
  };
}

/** Rows that another gateway writes now are passed over: its time is as good, and neither waits for the other. */
async function write(databases: Databases, { ctx, uses }: TenantUses): Promise<void> {
  const rows = [...uses.values()];
  const update = `with used as (select * from unnest($1::text[], $2::text[], $3::timestamptz[]) as used (client, key, at)),
       free as (select o.id, used.at from registered_operations o join used using (client, key)
                 where o.last_used_at is null or o.last_used_at < used.at for update of o skip locked)
     update registered_operations o set last_used_at = free.at from free where o.id = free.id`;
  try {
    await inTenantOnce({ tenant: ctx, databases }, (tx) =>
      tx.query(update, [rows.map(({ client }) => client), rows.map(({ key }) => key), rows.map(({ at }) => at)]),
    );
  } catch (error) {
    log('warn', 'the last use of operations was not written', { tenant: ctx.tenant, error: String(error) });
  }
}
