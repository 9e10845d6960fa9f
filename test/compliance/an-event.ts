import { checkEvent, type AuditEvent } from '#schema/audit-event.ts';
import { mintId, type Id } from '#schema/ids.ts';

let count = 0;

/** Returns an event that a log takes; `size` characters of its context make it as long as a test wants. */
export function anEvent(
  tenant: Id<'tnt'>,
  { name = null, size = 0 }: { name?: string | null; size?: number } = {},
): AuditEvent {
  count += 1;
  const filler = 'é"\\'.repeat(Math.ceil(size / 3)).slice(0, size);
  return checkEvent({
    id: mintId('aud'),
    tenant_id: tenant,
    actor: { type: 'user', id: mintId('usr'), ip: '203.0.113.7', ua: 'Mozilla/5.0 (X11; "Linux")' },
    action: 'document.share',
    resource: { type: 'document', id: mintId('doc'), name },
    context: {
      count,
      role: 'viewer',
      fillers: Array.from({ length: Math.ceil(size / 4000) }, (_, part) =>
        filler.slice(part * 4000, part * 4000 + 4000),
      ),
    },
    session_id: null,
    request_id: mintId('req'),
    ts: new Date(Date.UTC(2026, 0, 1) + count * 1000).toISOString(),
  });
}
