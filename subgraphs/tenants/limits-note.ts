import type { AuditNote } from '#kit/outbox.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';

/** Fails with BAD_USER_INPUT, naming the number of the input that cannot be used. */
export function refuseNumber(path: string, takes: string): never {
  return fail('BAD_USER_INPUT', 'a limit out of its bounds', { hint: `"${path}" takes ${takes}.` });
}

/** Returns the audit note of a change of limits, with what held before and what was said now; null where nothing did. */
export function changeNote(
  action: string,
  resource: AuditNote['resource'],
  { before, after }: { before: unknown; after: unknown },
): AuditNote {
  return { action, resource, context: { before: named(before), after: named(after) } };
}

/** The log names the keys of a context like_this. */
function named(value: unknown): JsonValue {
  if (typeof value === 'number') return value;
  if (typeof value !== 'object' || value === null) return null;
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      named(part),
    ]),
  );
}
