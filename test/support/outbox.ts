import { systemContext } from '#kit/credential.ts';
import type { Databases } from '#kit/database.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import { openEvents } from '#kit/personal-values.ts';
import type { AuditEvent } from '#schema/audit-event.ts';
import type { Id } from '#schema/ids.ts';
import { inStore, POOL, storeUrl } from '#schema/tenant-store.ts';
import type { House } from './house.ts';
import { withClient } from './postgres.ts';

/** Returns the audit events that wait in the outbox of a demo tenant, in the order in which they were written, readable. */
export async function outboxEvents(house: House, tenant: 'acme' | 'globex' | 'initech'): Promise<AuditEvent[]> {
  const cell = house[tenant].region === 'us' ? 'us-1' : 'eu-1';
  const place = await findTenantBySlug(house.databases, tenant);
  const store = place?.store ?? POOL;
  const { rows } = await withClient(storeUrl(house.stores.url(cell), store), (client) =>
    client.query<{ event: string }>(inStore('select event from app.outbox order by position', store)),
  );
  const events = rows
    .map(({ event }) => JSON.parse(event) as AuditEvent)
    .filter((event) => event.tenant_id === house[tenant].id);
  return opened(house.databases, events);
}

/** Returns events of any tenants with their personal values readable, as whoever may read the log sees them. */
export async function opened(databases: Databases, events: readonly AuditEvent[]): Promise<AuditEvent[]> {
  const shown = new Map<string, AuditEvent>();
  for (const tenant of new Set(events.map((event) => event.tenant_id as Id<'tnt'>))) {
    const context = await systemContext(databases, tenant, { name: 'test', requestId: 'req_test' });
    const hers = events.filter((event) => event.tenant_id === tenant);
    for (const { erased, ...event } of await openEvents({ tenant: context, databases }, hers)) {
      if (erased.length > 0) throw new Error(`${event.id} cannot be opened`);
      shown.set(event.id, event);
    }
  }
  return events.map((event) => shown.get(event.id) ?? event);
}
