import type { AuditEvent } from '#schema/audit-event.ts';
import type { House } from './house.ts';
import { withClient } from './postgres.ts';

/** Returns the audit events that wait in the outbox of a demo tenant, in the order in which they were written. */
export async function outboxEvents(house: House, tenant: 'acme' | 'globex' | 'initech'): Promise<AuditEvent[]> {
  const cell = house[tenant].region === 'us' ? 'us-1' : 'eu-1';
  const { rows } = await withClient(house.stores.url(cell), (client) =>
    client.query<{ event: string }>('select event from app.outbox order by position'),
  );
  return rows
    .map(({ event }) => JSON.parse(event) as AuditEvent)
    .filter((event) => event.tenant_id === house[tenant].id);
}
