import { ConfigError } from '#schema/config.ts';
import { TenonError } from '#schema/errors.ts';

/** Ends what a process started; called once. */
export interface Stop {
  (): Promise<void>;
  /** How long it goes on serving on purpose before it begins to end; 0 where nothing is said. */
  readonly graceMs?: number;
}

/** A process that has not ended by itself in this time after its grace is ended: an operator waits no longer. */
const STOP_TIMEOUT_MS = 20_000;

/**
 * Runs a process from its start to its signal: `start` returns what ends it. SIGINT and SIGTERM end it in order with
 * exit code 0; a start that fails says why in one line on stderr and exits with 1.
 */
export async function runProcess(start: () => Promise<Stop>): Promise<void> {
  let stop: Stop;
  try {
    stop = await start();
  } catch (error) {
    process.stderr.write(`${sentenceOf(error)}\n`);
    process.exit(1);
  }
  let stopping = false;
  const end = () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), STOP_TIMEOUT_MS + (stop.graceMs ?? 0)).unref();
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${sentenceOf(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
  // A parent that is gone can send no signal; its end of the channel closes instead.
  process.once('disconnect', end);
  if (isStartedByNpm()) endWithShell(end);
}

/** How often a process that npm started looks whether the shell between them still lives. */
const SHELL_CHECK_MS = 250;

/** npm sends its signals to a shell that dies of them and hands nothing on; whom it leaves behind gets another parent. */
function endWithShell(end: () => void): void {
  const shell = process.ppid;
  const check = setInterval(() => {
    if (process.ppid === shell) return;
    clearInterval(check);
    end();
  }, SHELL_CHECK_MS);
  check.unref();
}

/** What an operator can act on comes as one line; what nobody foresaw comes with its trace. */
function sentenceOf(error: unknown): string {
  if (error instanceof TenonError || error instanceof ConfigError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** True in a process that an npm script started, with a shell in between. */
function isStartedByNpm(): boolean {
  return process.env['npm_lifecycle_event'] !== undefined;
}
