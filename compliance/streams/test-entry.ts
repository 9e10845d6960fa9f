import { entryBytes, entryLeaf, ZERO_PREV, type AuditEntry } from '#schema/audit-event.ts';
import { mintId, type Id } from '#schema/ids.ts';
import type { StreamedEntry } from './forms/streamed-entry.ts';

/** Returns an entry that stands in no log: whoever gets it sees by its mark, and by the missing proof, that it is a test. */
export function testEntry(
  { tenant, stream, deployment }: { tenant: Id<'tnt'>; stream: Id<'str'>; deployment: string },
  now: Date,
): StreamedEntry {
  const entry: AuditEntry = {
    v: 1,
    seq: 0,
    prev: ZERO_PREV,
    outcome: 'success',
    action_version: 1,
    event: {
      id: mintId('aud'),
      tenant_id: tenant,
      actor: { type: 'system', id: 'audit-streams', ip: null, ua: null },
      action: 'audit_stream.test',
      resource: { type: 'audit_stream', id: stream, name: null },
      context: { test: true },
      session_id: null,
      request_id: null,
      ts: now.toISOString(),
    },
  };
  const bytes = entryBytes(entry);
  return {
    origin: `${deployment}/audit/${tenant}/test`,
    epoch: 0,
    text: bytes.toString('utf8'),
    entry,
    leaf: entryLeaf(bytes).toString('hex'),
    proof: null,
    isTest: true,
  };
}
