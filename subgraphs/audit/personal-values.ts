import { openEvents } from '#kit/personal-values.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { AuditEntry } from '#schema/audit-event.ts';
import type { OpenedEvent } from '#schema/sealed-event.ts';
import { entryOf, eventOf, type EntryRow } from './entries.ts';
import type { AuditEvent } from './model.ts';

/** An entry with its event as people may read it; what was hashed is still `row.entry`. */
export interface OpenedEntry {
  readonly row: EntryRow;
  readonly entry: AuditEntry;
  readonly event: OpenedEvent;
}

/**
 * Returns the entries with their personal values readable, in their order: one statement for the keys of all of them. A
 * value whose key is destroyed is null, or `{"erased": true}` in the context, and named in `event.erased`.
 */
export async function openEntries(ctx: RequestContext, rows: readonly EntryRow[]): Promise<OpenedEntry[]> {
  const entries = rows.map((row) => ({ row, entry: entryOf(row) }));
  const events = await openEvents(
    ctx,
    entries.map(({ entry }) => entry.event),
  );
  return entries.flatMap(({ row, entry }, index) => {
    const event = events[index];
    return event === undefined ? [] : [{ row, entry, event }];
  });
}

/** Returns the entries as the graph shows them to whoever may read the log. */
export async function shownEvents(ctx: RequestContext, rows: readonly EntryRow[]): Promise<AuditEvent[]> {
  const opened = await openEntries(ctx, rows);
  return opened.map(({ row, event }) => {
    const shown = eventOf(row);
    shown.actor.ip = event.actor.ip;
    shown.actor.ua = event.actor.ua;
    shown.resource.name = event.resource.name;
    shown.context = event.context;
    shown.erased = event.erased;
    return shown;
  });
}
