import { asTenonError } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import { log as logLine } from '#kit/log.ts';
import { incarnationOf } from './incarnation.ts';
import type { SealingOptions } from './options.ts';
import { isBehind, recoverLog } from './recovery.ts';

/** What the check before sequencing needs. */
export interface RecoveryCheckOptions extends SealingOptions {
  /** UUIDs of tenants that may have a log of which the database knows nothing; those with a head are known anyway. */
  readonly tenants?: () => Promise<readonly string[]>;
  /** Gives logs that were set back what the archive does not hold either. */
  readonly sequenceAgain?: () => Promise<unknown>;
}

const RETRY_MS = 10_000;
const PARALLEL_PROBES = 16;

/**
 * Returns the function that, called before events are sequenced, looks whether the database was set back since it was
 * last called, and where it was brings every log back first: then what waits in the outbox follows the past instead of
 * contradicting it. On the first call, and after the server was started or the tables were made again, every log is
 * compared with the archive; else it costs one statement. An archive that is away keeps nobody waiting: the check is
 * made up for later, and the sealer makes its own.
 */
export function createRecoveryCheck(options: RecoveryCheckOptions): () => Promise<void> {
  let checked: string | null = null;
  let sequenced: string | null = null;
  let retryAtMs = -Infinity;
  return async () => {
    const incarnation = await incarnationOf(options.audit);
    if (incarnation === checked || performance.now() < retryAtMs) return;
    const isCompared = await compareAll(options);
    if (incarnation !== sequenced) await options.sequenceAgain?.();
    sequenced = incarnation;
    if (isCompared) checked = incarnation;
    else retryAtMs = performance.now() + RETRY_MS;
  };
}

/** Returns false where the archive is away. */
async function compareAll(options: RecoveryCheckOptions): Promise<boolean> {
  const { rows } = await options.audit.query<{ tenant_id: string }>(
    'select tenant_id from log_heads order by tenant_id',
  );
  const tenants = new Set([...rows.map((row) => row.tenant_id), ...((await options.tenants?.()) ?? [])]);
  let isAway = false;
  const queue = tenants.values();
  await Promise.all(
    Array.from({ length: PARALLEL_PROBES }, async () => {
      for (const tenantId of queue) if (!isAway) isAway = !(await compare(options, tenantId));
    }),
  );
  return !isAway;
}

async function compare(options: SealingOptions, tenantId: string): Promise<boolean> {
  const { log = logLine } = options;
  try {
    if (await isBehind(options, tenantId)) await recoverLog(options, tenantId);
    return true;
  } catch (thrown) {
    const error = asTenonError(thrown);
    log('error', `log not compared with the archive: ${error.message}`, {
      tenant: idOf('tnt', tenantId),
      code: error.code,
    });
    return error.code !== 'SERVICE_UNAVAILABLE';
  }
}
