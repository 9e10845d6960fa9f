import { inTenantAudit, type TenantScope } from '#kit/database.ts';
import { proofsFor, readSealedHead, type LogReader, type SealedHead } from '#kit/log-proofs.ts';
import { parseEntry } from '#schema/audit-event.ts';
import type { StreamedEntry } from './forms/streamed-entry.ts';
import type { LogPosition } from './stream-store.ts';

/** What of a log is wanted. */
export interface PageQuestion {
  readonly from: LogPosition;
  /** Only what was sealed, with its proof. */
  readonly proofs: boolean;
  /** Only these, `user.*` standing for all that begin with `user.`; all where there is none. */
  readonly actions: readonly string[];
  readonly outcomes: readonly string[];
  readonly limit: number;
  /** The name of this deployment, which origins begin with. */
  readonly deployment: string;
}

/** A run of a log, without what the filter leaves out. */
export interface LogPage {
  readonly entries: readonly StreamedEntry[];
  /** Where the run ends: all before it was looked at. */
  readonly next: LogPosition;
}

/** Entries that a filter may leave out of one page. */
const WINDOW = 5_000;
/** Of the entries of one page together, after the first. */
const MAX_PAGE_BYTES = 1_000_000;
/** The wall before the worker lets no index be used by itself. */
const OWN = 'tenant_id = (select tenon.tenant_id())';

/**
 * Reads the entries from a position on that a filter asks for, of one epoch, in their order. Where the epoch has ended the
 * page may be empty and leads into the next one; at the end of the log it leads to where it began.
 */
export async function readPage(scope: TenantScope, question: PageQuestion): Promise<LogPage> {
  return inTenantAudit(scope, async (tx) => {
    const { from, proofs } = question;
    const head = proofs ? await readSealedHead(tx, from.epoch) : null;
    const { end, isLast } = await readEnd(tx, from.epoch);
    const until = Math.min(end, proofs ? (head?.size ?? 0) : end, from.seq + WINDOW);
    if (from.seq >= until) return { entries: [], next: isLast ? from : { epoch: from.epoch + 1, seq: 0 } };
    const rows = await readRows(tx, question, until);
    const last = rows.at(-1);
    // Where the page was full, more may stand before the end of the window.
    const isCut = last !== undefined && (rows.length === question.limit || Number(last.bytes) > MAX_PAGE_BYTES);
    const fitting = rows.filter(({ bytes }, index) => index === 0 || Number(bytes) <= MAX_PAGE_BYTES);
    const next = isCut ? Number(fitting.at(-1)?.seq) + 1 : until;
    return {
      entries: await proven(tx, { rows: fitting, head, question, scope }),
      next: { epoch: from.epoch, seq: next },
    };
  });
}

interface EntryRow {
  readonly seq: string;
  readonly entry: string;
  readonly leaf: Buffer;
  /** Of all rows up to this one. */
  readonly bytes: string;
}

async function readEnd(tx: LogReader, epoch: number): Promise<{ end: number; isLast: boolean }> {
  const [row] = await tx.query<{ epoch: number; size: string }>(`select epoch, size from log_heads where ${OWN}`);
  if (row === undefined || row.epoch <= epoch) return { end: Number(row?.size ?? 0), isLast: true };
  const [last] = await tx.query<{ size: string }>(
    `select seq + 1 as size from log_entries where ${OWN} and epoch = $1 order by seq desc limit 1`,
    [epoch],
  );
  return { end: Number(last?.size ?? 0), isLast: false };
}

function readRows(tx: LogReader, { from, actions, outcomes, limit }: PageQuestion, until: number): Promise<EntryRow[]> {
  const whole = actions.filter((action) => !action.endsWith('.*'));
  const beginnings = actions.filter((action) => action.endsWith('.*')).map((action) => action.slice(0, -1));
  return tx.query<EntryRow>(
    `select seq, entry, leaf, sum(octet_length(entry)) over (order by seq) as bytes from (
       select seq, entry, leaf from log_entries
        where ${OWN} and epoch = $1 and seq >= $2 and seq < $3
          and ($4::text[] = '{}' and $5::text[] = '{}' or action = any($4)
               or exists (select from unnest($5::text[]) as beginning where starts_with(action, beginning)))
          and ($6::text[] = '{}' or outcome = any($6))
        order by seq limit $7) as page order by seq`,
    [from.epoch, from.seq, until, whole, beginnings, outcomes, limit],
  );
}

async function proven(
  tx: LogReader,
  {
    rows,
    head,
    question,
    scope,
  }: { rows: readonly EntryRow[]; head: SealedHead | null; question: PageQuestion; scope: TenantScope },
): Promise<StreamedEntry[]> {
  const { epoch } = question.from;
  const places = rows.map(({ seq }) => ({ epoch, seq: Number(seq) }));
  const proofs = head === null ? [] : await proofsFor(tx, places, new Map([[epoch, head]]));
  return rows.map(({ entry: text, leaf }, index) => {
    const proof = proofs[index] ?? null;
    return {
      origin: `${question.deployment}/audit/${scope.tenant.tenant}/${epoch}`,
      epoch,
      text,
      entry: parseEntry(Buffer.from(text)),
      leaf: leaf.toString('hex'),
      proof:
        proof === null
          ? null
          : {
              hashes: proof.hashes.map((hash) => hash.toString('hex')),
              checkpoint: proof.head.note,
              treeSize: proof.head.size,
            },
      isTest: false,
    };
  });
}
