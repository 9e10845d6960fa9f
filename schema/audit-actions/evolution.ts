import type { JsonValue } from '#schema/canonical-json.ts';
import { isObject } from '#schema/json-object.ts';

/**
 * Returns a sentence for every schema among the `$defs` of before that some of its events would fit no longer: a version
 * that is gone, or one that has changed other than by taking more. Either needs a version of its own, for entries are
 * read by the version that they name.
 */
export function evolutionFaults(before: JsonValue, after: JsonValue): string[] {
  const [old, now] = [definitionsOf(before), definitionsOf(after)];
  return Object.entries(old).flatMap(([name, schema]) => {
    const [action = '', version = ''] = name.split('@');
    if (version === '') return [];
    if (!Object.hasOwn(now, name))
      return [`${action}: version ${version} is gone; keep it under "earlier", for entries of it are in the logs`];
    const where = narrowing(schema, now[name], '');
    return where === null
      ? []
      : [`${action}: version ${version} takes less than before at ${where}; make it version ${Number(version) + 1}`];
  });
}

function definitionsOf(schema: JsonValue): Readonly<Record<string, unknown>> {
  const definitions = isObject(schema) ? schema['$defs'] : undefined;
  return isObject(definitions) ? definitions : {};
}

/** Keywords that say nothing of what fits. */
const SAYS_NOTHING: ReadonlySet<string> = new Set(['description', 'title', '$schema']);

/**
 * Returns where the second schema may refuse what the first takes, or null where it refuses nothing of it. Of what it does
 * not understand it says that it may.
 */
function narrowing(before: unknown, after: unknown, path: string): string | null {
  if (!isObject(before) || !isObject(after)) return same(before, after) ? null : place(path);
  // What was plain and can be sealed now takes more.
  const widened = 'anyOf' in before ? [] : alternatives(after);
  if (widened.length > 0) return widened.some((each) => narrowing(before, each, path) === null) ? null : place(path);
  const keywords = new Set([...Object.keys(before), ...Object.keys(after)]);
  for (const keyword of keywords) {
    if (SAYS_NOTHING.has(keyword)) continue;
    const found = (RULES[keyword] ?? unchanged(keyword))({ before, after, path });
    if (found !== null) return found;
  }
  return null;
}

interface Change {
  readonly before: Readonly<Record<string, unknown>>;
  readonly after: Readonly<Record<string, unknown>>;
  readonly path: string;
}

type Rule = (change: Change) => string | null;

const RULES: Readonly<Record<string, Rule>> = {
  maxLength: notLess('maxLength'),
  maxItems: notLess('maxItems'),
  maximum: notLess('maximum'),
  enum: ({ before, after, path }) => (isSubset(before['enum'], after['enum']) ? null : place(path)),
  required: ({ before, after, path }) =>
    isSubset(after['required'] ?? [], before['required'] ?? []) ? null : place(path),
  items: ({ before, after, path }) => narrowing(before['items'], after['items'], `${path}[]`),
  anyOf: ({ before, after, path }) => {
    const [old, now] = [alternatives(before), alternatives(after)];
    return old.every((each) => now.some((other) => narrowing(each, other, path) === null)) ? null : place(path);
  },
  properties: ({ before, after, path }) => {
    const [old, now] = [fieldsOf(before), fieldsOf(after)];
    for (const [name, schema] of Object.entries(old)) {
      const found = Object.hasOwn(now, name)
        ? narrowing(schema, now[name], `${path}.${name}`)
        : place(`${path}.${name}`);
      if (found !== null) return found;
    }
    return null;
  },
};

/** A limit may be raised or fall away, and none may come. */
function notLess(keyword: string): Rule {
  return ({ before, after, path }) => {
    const [old, now] = [before[keyword] ?? Infinity, after[keyword] ?? Infinity];
    return typeof old === 'number' && typeof now === 'number' && now >= old ? null : place(path);
  };
}

function unchanged(keyword: string): Rule {
  return ({ before, after, path }) => (same(before[keyword], after[keyword]) ? null : place(path));
}

function fieldsOf({ properties }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return isObject(properties) ? properties : {};
}

function alternatives({ anyOf }: Readonly<Record<string, unknown>>): readonly unknown[] {
  return Array.isArray(anyOf) ? anyOf : [];
}

function isSubset(part: unknown, whole: unknown): boolean {
  if (!Array.isArray(part) || !Array.isArray(whole)) return false;
  const values: readonly unknown[] = part;
  return values.every((value) => whole.includes(value));
}

function same(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function place(path: string): string {
  return path === '' ? 'its root' : path.replace(/^\./, '');
}
