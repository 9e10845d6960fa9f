import { hash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { entryBytes, entryLeaf, ZERO_PREV, type AuditEvent } from '#schema/audit-event.ts';
import { idOf, type Id } from '#schema/ids.ts';
import { Frontier } from '#schema/merkle.ts';
import { sealField } from '#schema/sealed-field.ts';
import { logOrigin, manifestSha256, segmentKey, signManifest, type LogName } from '../../compliance/manifest.ts';
import { MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES, packSegment } from '../../compliance/segment.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

/** An archive of one log on disk. */
export interface BenchArchive {
  readonly folder: string;
  readonly origin: string;
  readonly checkpoint: string;
  readonly entries: number;
  readonly segments: number;
  /** Of all segments, uncompressed and as stored. */
  readonly bytes: number;
  readonly packedBytes: number;
}

const KEY = { kid: 'k'.repeat(22), secret: Buffer.alloc(32, 7) };
const BEGINNING = Date.parse('2026-03-01T00:00:00Z');

/** How long a log is, and how many entries a segment of it holds at most. */
interface BenchPlan {
  readonly entries: number;
  readonly perSegment: number;
}

/** Returns the archive of a log below a folder: the one that an earlier run has left there whole, else a new one. */
export async function keptArchive(folder: string, plan: BenchPlan): Promise<BenchArchive> {
  const place = join(folder, `${plan.entries}-${plan.perSegment}`);
  const note = `${place}.json`;
  if (existsSync(note)) return JSON.parse(readFileSync(note, 'utf8')) as BenchArchive;
  const archive = await writeArchive(place, plan);
  writeFileSync(note, JSON.stringify(archive));
  return archive;
}

/** Writes the archive of a log as the worker seals it. */
async function writeArchive(folder: string, { entries, perSegment }: BenchPlan): Promise<BenchArchive> {
  const tenant = idOf('tnt', '018f0000-0000-7000-8000-000000000001');
  const name: LogName = { deployment: TEST_SIGNING_KEY.name, region: 'eu', tenant, epoch: 1 };
  const frontier = new Frontier();
  const sum = { segments: 0, bytes: 0, packedBytes: 0, checkpoint: '' };
  let [prev, prevManifest]: [string, string | null] = [ZERO_PREV, null];
  while (frontier.size < entries) {
    const first = { size: frontier.size, root: frontier.root().toString('hex'), prev };
    const lines: Buffer[] = [];
    let length = 0;
    while (frontier.size < entries && lines.length < Math.min(perSegment, MAX_SEGMENT_ENTRIES)) {
      const seq = frontier.size;
      const line = entryBytes({ v: 1, seq, prev, outcome: 'success', action_version: 1, event: eventAt(seq, tenant) });
      if (length + line.length + 1 > MAX_SEGMENT_BYTES) break;
      const leaf = entryLeaf(line);
      frontier.append(leaf);
      prev = leaf.toString('hex');
      lines.push(line, LF);
      length += line.length + 1;
    }
    const bytes = Buffer.concat(lines);
    const packed = await packSegment(bytes);
    const sha256 = hash('sha256', bytes, 'hex');
    const key = segmentKey(name, sum.segments);
    const {
      text,
      key: manifestKey,
      manifest,
    } = signManifest(
      name,
      {
        number: sum.segments,
        first_seq: first.size,
        count: frontier.size - first.size,
        first_ts: timeAt(first.size),
        last_ts: timeAt(frontier.size - 1),
        prev_manifest_sha256: prevManifest,
        segment: {
          key,
          size_bytes: bytes.length,
          sha256,
          gz_size_bytes: packed.length,
          gz_sha256: hash('sha256', packed, 'hex'),
        },
        first_prev: first.prev,
        last_leaf: prev,
        size_before: first.size,
        root_before: first.root,
        size_after: frontier.size,
        root_after: frontier.root().toString('hex'),
        planned_at: '2026-03-02T00:00:00.000Z',
        lock: { mode: 'FILESYSTEM', until: '2026-06-01T00:00:00.000Z' },
      },
      { name: TEST_SIGNING_KEY.name, privateKey: TEST_SIGNING_KEY.privateKey },
    );
    put(folder, key, packed);
    put(folder, manifestKey, text);
    prevManifest = manifestSha256(text);
    sum.segments += 1;
    sum.bytes += bytes.length;
    sum.packedBytes += packed.length;
    sum.checkpoint = manifest.checkpoint;
  }
  return { folder, origin: logOrigin(name), entries, ...sum };
}

const LF = Buffer.of(0x0a);

/** A share of a document: the person's address and names are sealed, as the platform writes them. */
function eventAt(seq: number, tenant: Id<'tnt'>): AuditEvent {
  const id = idOf('aud', `018f1111-0000-7000-8000-${seq.toString(16).padStart(12, '0')}`);
  const sealed = (path: string, value: string) => sealField(KEY, { tenant, event: id, path }, value);
  return {
    id,
    tenant_id: tenant,
    actor: { type: 'user', id: 'usr_01hw000000e008000000000001', ip: sealed('actor.ip', '192.0.2.7'), ua: null },
    action: 'document.share',
    resource: { type: 'document', id: `doc_${seq}`, name: `Plan ${seq}` },
    context: { rights: ['read', 'comment'], user_id: 'usr_01hw000000e008000000000002', version: seq % 100 },
    session_id: 'ses_01hw000000e008000000000003',
    request_id: `req_${seq.toString(32).padStart(26, '0')}`,
    ts: timeAt(seq),
  };
}

function timeAt(seq: number): string {
  return new Date(BEGINNING + seq * 1000).toISOString();
}

function put(folder: string, key: string, bytes: Uint8Array | string): void {
  mkdirSync(join(folder, dirname(key)), { recursive: true });
  writeFileSync(join(folder, key), bytes);
}
