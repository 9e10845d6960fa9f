import type { TenonError } from '#schema/errors.ts';

/** Facts of a log line; never a secret and never personal data. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Writes one JSON line to stderr. */
export function log(level: 'info' | 'warn' | 'error', message: string, fields: LogFields = {}): void {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
}

/** Logs what stays inside when a caller reads only the public text; the request id joins the two. */
export function logError(error: TenonError, requestId: string): void {
  const cause = error.cause instanceof Error ? error.cause : error;
  log('error', error.message, { requestId, code: error.code, stack: cause.stack });
}
