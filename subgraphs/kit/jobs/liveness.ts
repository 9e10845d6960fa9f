import pg from 'pg';
import { fail } from '#schema/errors.ts';
import { RUNNER_LOCK_CLASS } from './recovery.ts';

/** The connection by whose locks other processes see that this one lives. */
export interface Liveness {
  /** Takes the lock of a name; it ends with the connection, and so with the process. */
  hold(name: string): Promise<void>;
  /** Rejects when the connection, and with it every lock, is lost. */
  readonly lost: Promise<never>;
  close(): Promise<void>;
}

/** How often the locks are looked at: a pooler between, or a network that is gone, shows itself no other way. */
const CHECK_MS = 5_000;
const ANSWER_TIMEOUT_MS = 10_000;

/** Opens the connection; it has to lead to PostgreSQL itself. */
export async function openLiveness(url: string): Promise<Liveness> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'tenon jobs alive',
    connectionTimeoutMillis: 5_000,
    query_timeout: ANSWER_TIMEOUT_MS,
    keepAlive: true,
  });
  let held = 0;
  let timer: NodeJS.Timeout | undefined;
  const lost = new Promise<never>((_resolve, lose) => {
    client.on('error', lose);
    client.on('end', () => lose(new Error('the connection that shows that this process lives has ended')));
    timer = setInterval(() => void check(client, held).catch(lose), CHECK_MS).unref();
  });
  lost.catch(() => clearInterval(timer));
  await client.connect();
  return {
    lost,
    hold: async (name) => {
      await client.query('select pg_advisory_lock($1, hashtext($2))', [RUNNER_LOCK_CLASS, name]);
      held += 1;
    },
    close: async () => {
      clearInterval(timer);
      await client.end().catch(() => undefined);
    },
  };
}

async function check(client: pg.Client, held: number): Promise<void> {
  const { rows } = await client.query<{ count: number }>(
    `select count(*)::int as count from pg_locks
      where locktype = 'advisory' and pid = pg_backend_pid() and classid = $1 and granted`,
    [RUNNER_LOCK_CLASS],
  );
  if ((rows[0]?.count ?? 0) < held)
    fail('SERVICE_UNAVAILABLE', 'the session does not hold its locks: is there a pooler?');
}
