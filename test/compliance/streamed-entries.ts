import { entryBytes, entryLeaf, ZERO_PREV, type AuditEntry, type AuditEvent } from '#schema/audit-event.ts';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { inclusionProof, Frontier } from '#schema/merkle.ts';
import { signNote } from '#schema/signed-note.ts';
import type { StreamedEntry } from '../../compliance/streams/forms/streamed-entry.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

/** The tenant of all entries here. */
export const TENANT = 'tnt_0006g6rm96e7xaacqhy8tyjgx2';

/** What an entry of a test says; the rest is filled in. */
export interface EntryDraft {
  readonly outcome?: AuditEntry['outcome'];
  readonly event?: Partial<AuditEvent>;
}

/** Returns the entries of a sealed log of their own, with proofs; equal drafts give equal bytes. */
export function streamedEntries(drafts: readonly EntryDraft[]): StreamedEntry[] {
  const entries: { entry: AuditEntry; text: string; leaf: Buffer }[] = [];
  const frontier = new Frontier();
  for (const [seq, { outcome = 'success', event }] of drafts.entries()) {
    const prev = entries.at(-1)?.leaf.toString('hex') ?? ZERO_PREV;
    const entry: AuditEntry = { v: 1, seq, prev, outcome, action_version: 1, event: eventOf(seq, event ?? {}) };
    const bytes = entryBytes(entry);
    const leaf = entryLeaf(bytes);
    frontier.append(leaf);
    entries.push({ entry, text: bytes.toString('utf8'), leaf });
  }
  const origin = `tenon.test/audit/${TENANT}/1`;
  const size = entries.length;
  const checkpoint = signNote(encodeCheckpoint({ origin, size, root: frontier.root() }), TEST_SIGNING_KEY);
  const leaves = entries.map(({ leaf }) => leaf);
  return entries.map(({ entry, text, leaf }, seq) => ({
    origin,
    epoch: 1,
    text,
    entry,
    leaf: leaf.toString('hex'),
    proof: {
      hashes: inclusionProof(leaves, seq, size).map((hash) => Buffer.from(hash).toString('hex')),
      checkpoint,
      treeSize: size,
    },
    isTest: false,
  }));
}

function eventOf(seq: number, event: Partial<AuditEvent>): AuditEvent {
  return {
    id: `aud_0006g6rm96e7xaacqhy8tyjg${String(seq).padStart(2, '0')}`,
    tenant_id: TENANT,
    actor: { type: 'user', id: 'usr_0006g6rm96e7xaacqhy8tyjgx3', ip: '203.0.113.7', ua: 'Mozilla/5.0' },
    action: 'document.share',
    resource: { type: 'document', id: 'doc_0006g6rm96e7xaacqhy8tyjgx4', name: 'Bericht Ärger 監査' },
    context: {},
    session_id: 'ses_0006g6rm96e7xaacqhy8tyjgx5',
    request_id: 'req_0006g6rm96e7xaacqhy8tyjgx6',
    ts: '2026-03-01T10:20:30.400Z',
    ...event,
  };
}
