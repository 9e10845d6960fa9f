import type { AuditEvent } from '#schema/audit-event.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import type { PersonalValue } from '#schema/audit-actions/index.ts';
import { indexTokens } from '#schema/blind-index.ts';
import { uuidOf } from '#schema/ids.ts';
import { openField, sealField, type SealedField } from '#schema/sealed-field.ts';
import { openEvent, sealedFields, sealValues, valueAt, type OpenedEvent } from '#schema/sealed-event.ts';
import { TENANT_SUBJECT, type KeyStatement, type PersonalKeys } from './data-keys.ts';
import { inTenantOnce, type TenantScope } from './database.ts';

/** An event as it may be stored, and under which tokens its sealed values can be looked for. */
export interface SealedEvent {
  readonly event: AuditEvent;
  /** Tokens in base64url by the name of the key; null where there are none. */
  readonly tokens: Readonly<Record<string, readonly string[]>> | null;
}

/** Nobody looks for a user agent, and what is looked for leaves a trace in the index. */
const NOT_INDEXED: ReadonlySet<string> = new Set(['actor.ua']);

/**
 * Seals the personal values of an event, each under the key of its person, or under the tenant's own where she is
 * unknown. Keys that are used for the first time are made in the caller's transaction; keys in memory cost no statement.
 */
export async function sealPersonal(
  tx: KeyStatement,
  keys: PersonalKeys,
  { event, personal }: { readonly event: AuditEvent; readonly personal: readonly PersonalValue[] },
): Promise<SealedEvent> {
  if (personal.length === 0) return { event, tokens: null };
  const tenant = event.tenant_id as `tnt_${string}`;
  const values = personal.map(({ path, subject }) => ({ path, subject: subjectUuid(subject) }));
  const sealing = await keys.sealing(tx, tenant, [...new Set(values.map(({ subject }) => subject))]);
  const sealed = new Map<string, SealedField>();
  const tokens = new Map<string, Set<string>>();
  for (const { path, subject } of values) {
    const value = valueAt(event, path);
    if (value === null) continue;
    const key = sealing.of(subject);
    sealed.set(path, sealField(key, { tenant, event: event.id, path }, value));
    if (sealing.index === null || NOT_INDEXED.has(path)) continue;
    const found = tokens.get(key.kid) ?? new Set();
    for (const token of indexTokens(sealing.index, value)) found.add(token.toString('base64url'));
    if (found.size > 0) tokens.set(key.kid, found);
  }
  return {
    event: sealValues(event, sealed),
    tokens: tokens.size === 0 ? null : Object.fromEntries([...tokens].map(([kid, found]) => [kid, [...found]])),
  };
}

/**
 * Returns under which tokens the sealed values of an event can be looked for, by the names of their keys in base64url, as
 * they came with it when it was sealed; a value that cannot be opened has none.
 */
export function tokensOf(indexKey: Buffer, event: AuditEvent, opened: OpenedEvent): Record<string, string[]> {
  const tokens = new Map<string, Set<string>>();
  for (const { path, sealed } of sealedFields(event)) {
    if (NOT_INDEXED.has(path) || opened.erased.includes(path)) continue;
    const found = tokens.get(sealed.$enc.k) ?? new Set();
    tokens.set(sealed.$enc.k, found);
    for (const token of indexTokens(indexKey, openedAt(opened, path))) found.add(token.toString('base64url'));
  }
  return Object.fromEntries([...tokens].map(([kid, found]) => [kid, [...found]]));
}

function openedAt({ actor, resource, context }: OpenedEvent, path: string): JsonValue {
  if (path === 'actor.ip') return actor.ip;
  if (path === 'resource.name') return resource.name;
  return context[path.slice('context.'.length)] ?? null;
}

/**
 * Returns the events with their personal values readable, in their order; a value whose key is destroyed is null or
 * marked as erased. One statement for all of them, and none where nothing is sealed. `mayOpen` tells by its name which
 * keys may be used; by default all of the tenant's.
 */
export async function openEvents(
  scope: TenantScope,
  events: readonly AuditEvent[],
  mayOpen: (kid: string) => boolean = () => true,
): Promise<OpenedEvent[]> {
  const kids = new Set(events.flatMap((event) => sealedFields(event).map(({ sealed }) => sealed.$enc.k)));
  // An operator sees what is personal where the tenant said so, and never the keys to it.
  const asked = scope.tenant.support?.personal === false ? [] : [...kids].filter(mayOpen);
  const { tenant } = scope.tenant;
  const secrets =
    asked.length === 0
      ? new Map<string, Buffer>()
      : await inTenantOnce({ ...scope, asPlatform: true }, (tx) =>
          scope.databases.personalKeys.opening(tx, tenant, asked),
        );
  return events.map((event) =>
    openEvent(event, ({ path, sealed }) => {
      const secret = secrets.get(sealed.$enc.k);
      return secret === undefined ? null : openField(secret, { tenant, event: event.id, path }, sealed);
    }),
  );
}

function subjectUuid(subject: PersonalValue['subject']): string {
  return subject === null ? TENANT_SUBJECT : uuidOf('usr', subject);
}
