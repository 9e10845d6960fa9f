import { inTenantAudit } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { parseEntry, type AuditEntry } from '#schema/audit-event.ts';
import { canonicalBytes } from '#schema/canonical-json.ts';
import { fail, TenonError } from '#schema/errors.ts';
import { EMPTY_ROOT, leafHash, type FrontierState } from '#schema/merkle.ts';
import { parseVerifierKey } from '#schema/signed-note.ts';
import type { Archive } from '../archive/archive.ts';
import { parseManifest } from '../manifest.ts';
import { segmentLines, unpackSegment } from '../segment.ts';
import { readCheckpoint } from '../verify/log-heads.ts';
import { verifyLog, type LogAnswer } from '../verify/log.ts';
import type { PackManifest } from '../verify/pack-manifest.ts';
import { packFileSource, type PackFiles } from './pack-files.ts';

/** The newest signed head of a tenant's log, and the epoch that it belongs to. */
export interface LogHead extends NonNullable<PackManifest['head']> {
  readonly epoch: number;
  /** Time of the last entry before it. */
  readonly lastAt: Date;
}

/** One sealed segment of the part of the log that a pack carries. */
export interface SealedSegment {
  readonly number: number;
  readonly firstSeq: number;
  readonly count: number;
  /** Of the uncompressed segment, lower-case hex. */
  readonly sha256: string;
  readonly segmentKey: string;
  readonly manifestKey: string;
  readonly retainUntil: Date;
}

/** An entry of the sealed log with its leaf hash, lower-case hex. */
export interface SealedEntry {
  readonly entry: AuditEntry;
  readonly leaf: string;
}

/** The part of a sealed log that covers a window, copied from the archive and checked as an auditor will check it. */
export interface SealedLog {
  readonly head: LogHead;
  /** The tree before the first entry of the part. */
  readonly from: { readonly size: number; readonly root: string };
  readonly segments: readonly SealedSegment[];
  /** What the verifier says of the copied files. */
  readonly answer: LogAnswer;
  /** Yields the entries up to the first one that could not be relied upon; reads the copy again each time. */
  entries(): AsyncGenerator<SealedEntry, void, undefined>;
}

/** What copying the log needs. */
export interface SealedLogOptions {
  readonly ctx: RequestContext;
  readonly head: LogHead;
  /** The part starts with the segment of the last entry before this time. */
  readonly from: Date;
  readonly archive: Archive;
  readonly files: PackFiles;
  /** Verifier keys of the deployment, newest first. */
  readonly verifierKeys: readonly string[];
}

/** Segments named at a time. */
const PAGE_SIZE = 500;

/** Returns the newest signed head of the tenant's log, or null while nothing of it is sealed. */
export async function findHead(ctx: RequestContext): Promise<LogHead | null> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ epoch: number; manifest: string }>(
      `select epoch, manifest from segments where state = 'sealed' order by epoch desc, number desc limit 1`,
    ),
  );
  if (row === undefined) return null;
  const {
    origin,
    size_after: size,
    root_after: root,
    checkpoint,
    last_ts: last,
  } = parseManifest(Buffer.from(row.manifest));
  return { origin, size, root, checkpoint, epoch: row.epoch, lastAt: new Date(last) };
}

/**
 * Copies the sealed segments and manifests from the one before the window up to the head into the pack, byte for byte
 * as archived, and checks them with the verifier. A file that the archive lacks is left out and shows in the answer;
 * an archive that is away is SERVICE_UNAVAILABLE.
 */
export async function openSealedLog(options: SealedLogOptions): Promise<SealedLog> {
  const { ctx, head, archive, files, verifierKeys } = options;
  const first = await firstNumber(options);
  const start = first === 0 ? null : await frontierBefore(ctx, head, first);
  if (start !== null) await files.put('log/frontier.json', canonicalBytes({ ...start }));
  const segments: SealedSegment[] = [];
  for await (const segment of segmentsFrom(ctx, head, first)) {
    segments.push(segment);
    for (const key of [segment.segmentKey, segment.manifestKey]) await copy({ archive, files, key });
  }
  const keys = verifierKeys.map(parseVerifierKey);
  const answer = await verifyLog({
    source: packFileSource(files),
    log: { root: 'log/', region: regionOf(segments), tenant: ctx.tenant.tenant, epoch: head.epoch },
    keys,
    heads: [readCheckpoint(head.checkpoint, keys)],
    ...(start === null ? {} : { start }),
  });
  const root = start === null ? EMPTY_ROOT.toString('hex') : await rootBefore(files, segments[0]);
  return {
    head,
    from: { size: start?.size ?? 0, root },
    segments,
    answer,
    entries: () => entriesOf({ files, segments, size: answer.size }),
  };
}

/**
 * The newest segment that begins before the window and lies before every entry of it. Entries stand in the order of
 * their transactions, so the time of one may lie a little before that of its predecessor.
 */
async function firstNumber({ ctx, head, from }: SealedLogOptions): Promise<number> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ number: number | null }>(
      `select max(number) as number from segments
        where epoch = $1 and state = 'sealed' and (manifest::jsonb ->> 'first_ts')::timestamptz < $2
          and first_seq <= coalesce((
            select min(seq) from log_entries where epoch = $1 and ts >= $2 and seq >= coalesce(
              (select min(first_seq) from log_search_blocks where level = 0 and epoch = $1 and max_ts >= $2),
              (select max(last_seq) from log_search_blocks where level = 0 and epoch = $1), 0)
          ), $3)`,
      [head.epoch, from, head.size],
    ),
  );
  return row?.number ?? 0;
}

async function frontierBefore(ctx: RequestContext, head: LogHead, number: number): Promise<FrontierState> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ size: number; nodes: string[] }>(
      `select (first_seq + count)::integer as size, frontier as nodes from segments where epoch = $1 and number = $2`,
      [head.epoch, number - 1],
    ),
  );
  return row ?? fail('CONFLICT', `segment ${number - 1} is missing in the database`);
}

async function* segmentsFrom(ctx: RequestContext, head: LogHead, first: number): AsyncGenerator<SealedSegment> {
  for (let next = first; ;) {
    const page = await inTenantAudit(ctx, (tx) =>
      tx.query<SealedSegment>(
        `select number, first_seq::integer as "firstSeq", count, encode(sha256, 'hex') as sha256,
                segment_key as "segmentKey", manifest_key as "manifestKey", retain_until as "retainUntil"
           from segments where epoch = $1 and number >= $2 and state = 'sealed' and first_seq + count <= $3
          order by number limit ${PAGE_SIZE}`,
        [head.epoch, next, head.size],
      ),
    );
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_SIZE) return;
    next = last.number + 1;
  }
}

async function copy({ archive, files, key }: { archive: Archive; files: PackFiles; key: string }): Promise<void> {
  try {
    await files.put(pathOf(key), await archive.get(key));
  } catch (error) {
    if (!(error instanceof TenonError) || error.code !== 'NOT_FOUND') throw error;
  }
}

async function rootBefore(files: PackFiles, first: SealedSegment | undefined): Promise<string> {
  if (first === undefined) return fail('CONFLICT', 'the log has a head and no segments');
  return parseManifest(await files.bytes(pathOf(first.manifestKey))).root_before;
}

async function* entriesOf({
  files,
  segments,
  size,
}: {
  files: PackFiles;
  segments: readonly SealedSegment[];
  size: number;
}): AsyncGenerator<SealedEntry, void, undefined> {
  for (const { segmentKey, firstSeq } of segments) {
    if (firstSeq >= size) return;
    for (const line of segmentLines(await unpackSegment(await files.bytes(pathOf(segmentKey))))) {
      yield { entry: parseEntry(line), leaf: leafHash(line).toString('hex') };
    }
  }
}

function regionOf([first]: readonly SealedSegment[]): string {
  const [, region] = first?.segmentKey.split('/') ?? [];
  return region ?? fail('CONFLICT', 'the log has a head and no segments');
}

function pathOf(key: string): string {
  return `log/${key}`;
}
