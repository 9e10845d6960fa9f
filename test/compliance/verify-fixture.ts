import { hash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll } from 'vitest';
import { ZipFile } from 'yazl';
import { entryBytes, entryLeaf, ZERO_PREV, type AuditEntry, type AuditEvent } from '#schema/audit-event.ts';
import { canonicalBytes } from '#schema/canonical-json.ts';
import { signStatement, STATEMENT_TYPE, type Statement } from '#schema/dsse.ts';
import { idOf, type Id } from '#schema/ids.ts';
import { Frontier, type FrontierState } from '#schema/merkle.ts';
import {
  manifestSha256,
  segmentKey,
  signManifest,
  type LogName,
  type SignedManifest,
} from '../../compliance/manifest.ts';
import { packSegment, readSegment } from '../../compliance/segment.ts';
import type { SigningKey } from '#kit/key-files.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

/** A log in the form that the archive holds, made by the worker's own code for segments and manifests. */
export interface MadeLog {
  readonly name: LogName;
  /** Archive key to bytes. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly manifests: readonly SignedManifest[];
  readonly lines: readonly Buffer[];
  readonly leaves: readonly Buffer[];
  /** The tree before each segment. */
  readonly starts: readonly FrontierState[];
}

/** How to make one. */
export interface LogPlan {
  /** Entries in each segment. */
  readonly counts: readonly number[];
  readonly tenant?: Id<'tnt'>;
  readonly region?: string;
  readonly epoch?: number;
  readonly key?: SigningKey;
  readonly eventOf?: (seq: number, tenant: Id<'tnt'>) => AuditEvent;
}

const tenantOf = (number: number): Id<'tnt'> =>
  idOf('tnt', `018f0000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`);

/** The tenant of fixtures that name none. */
export const TENANT = tenantOf(1);
/** Another one. */
export const OTHER_TENANT = tenantOf(2);

/** The moment of the first entry; each further one is a second later. */
export const BEGINNING = Date.parse('2026-03-01T00:00:00Z');

/** Returns the event of a number: two kinds of action, so that populations have something to choose. */
export function eventAt(seq: number, tenant: Id<'tnt'>): AuditEvent {
  return {
    id: idOf('aud', `018f1111-0000-7000-8000-${seq.toString(16).padStart(12, '0')}`),
    tenant_id: tenant,
    actor: { type: 'user', id: 'usr_ann', ip: '192.0.2.7', ua: null },
    action: seq % 3 === 0 ? 'session.create' : 'document.share',
    resource: { type: 'document', id: `doc_${seq}`, name: `Plan № ${seq}` },
    context: { to: `bob${seq}@example.com`, rights: ['read'] },
    session_id: null,
    request_id: null,
    ts: new Date(BEGINNING + seq * 1000).toISOString(),
  };
}

/** Makes a log of as many segments as there are counts. */
export async function makeLog({
  counts,
  tenant = TENANT,
  region = 'eu',
  epoch = 1,
  key = TEST_SIGNING_KEY,
  eventOf = eventAt,
}: LogPlan): Promise<MadeLog> {
  const name: LogName = { deployment: key.name, region, tenant, epoch };
  const log = {
    name,
    files: new Map<string, Buffer>(),
    manifests: [] as SignedManifest[],
    lines: [] as Buffer[],
    leaves: [] as Buffer[],
    starts: [] as FrontierState[],
  };
  const frontier = new Frontier();
  let prev = ZERO_PREV;
  for (const [number, count] of counts.entries()) {
    const before = frontier.toJSON();
    const lines: Buffer[] = [];
    let last = prev;
    for (let index = 0; index < count; index++) {
      const seq = before.size + index;
      const entry: AuditEntry = {
        v: 1,
        seq,
        prev: last,
        outcome: seq % 5 === 4 ? 'denied' : 'success',
        action_version: 1,
        event: eventOf(seq, tenant),
      };
      const bytes = entryBytes(entry);
      last = entryLeaf(bytes).toString('hex');
      lines.push(bytes);
    }
    const rootBefore = frontier.root().toString('hex');
    const segment = readSegment(lines, { frontier, prev });
    const packed = await packSegment(segment.bytes);
    const signed = signManifest(
      name,
      {
        number,
        first_seq: before.size,
        count,
        first_ts: segment.entries[0]?.event.ts ?? '',
        last_ts: segment.entries.at(-1)?.event.ts ?? '',
        prev_manifest_sha256: number === 0 ? null : manifestSha256(log.manifests[number - 1]?.text ?? ''),
        segment: {
          key: segmentKey(name, number),
          size_bytes: segment.bytes.length,
          sha256: segment.sha256,
          gz_size_bytes: packed.length,
          gz_sha256: hash('sha256', packed, 'hex'),
        },
        first_prev: prev,
        last_leaf: segment.lastLeaf,
        size_before: before.size,
        root_before: rootBefore,
        size_after: frontier.size,
        root_after: frontier.root().toString('hex'),
        planned_at: '2026-03-02T00:00:00.000Z',
        lock: { mode: 'FILESYSTEM', until: '2026-06-01T00:00:00.000Z' },
      },
      { name: key.name, privateKey: key.privateKey },
    );
    prev = segment.lastLeaf;
    log.starts.push(before);
    log.manifests.push(signed);
    log.lines.push(...lines);
    log.leaves.push(...segment.leaves);
    log.files.set(signed.manifest.segment.key, packed);
    log.files.set(signed.key, Buffer.from(signed.text));
  }
  return log;
}

/** Returns the checkpoint after a segment; of the newest one where none is named. */
export function checkpointOf(log: MadeLog, number = log.manifests.length - 1): string {
  return log.manifests[number]?.manifest.checkpoint ?? '';
}

const folders: string[] = [];

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Makes a temporary folder that ends with the test file. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-verify-'));
  folders.push(folder);
  return folder;
}

/** Writes files into a folder, or a new one, and returns it. */
export function writeFiles(
  files: Iterable<readonly [string, Uint8Array | string]>,
  folder: string = makeFolder(),
): string {
  for (const [path, bytes] of files) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  return folder;
}

/** A population of a fixture's pack: its rows as the builder writes them. */
export interface PackPlan {
  readonly log: MadeLog;
  readonly window: { readonly from: string; readonly to: string };
  /** The first segment in the pack; the tree before it comes along. */
  readonly firstSegment?: number;
  readonly key?: SigningKey;
  readonly omissions?: readonly { what: string; why: string }[];
  readonly withHead?: boolean;
  readonly kind?: 'soc2' | 'gdpr_access';
  /** Changes files before they are listed and signed: a dishonest builder. */
  readonly dishonest?: (files: Map<string, Buffer>) => void;
}

/** Makes the files of an evidence pack with one population from the log (`sign-ins`) and one from tables (`roles`). */
export function makePack({
  log,
  window,
  firstSegment = 0,
  key = TEST_SIGNING_KEY,
  omissions = [],
  withHead = true,
  kind = 'soc2',
  dishonest,
}: PackPlan): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  if (kind === 'soc2') addLog(files, log, { firstSegment, window });
  files.set('report.html', Buffer.from('<!doctype html><title>Evidence</title>'));
  files.set('verify/KEYS', Buffer.from(`# keys\n${key.verifierKey}\n`));
  dishonest?.(files);
  return signPack(files, { log, window, key, omissions, withHead, kind });
}

/** The log and what is taken from it. */
function addLog(
  files: Map<string, Buffer>,
  log: MadeLog,
  { firstSegment, window }: { firstSegment: number; window: PackPlan['window'] },
): void {
  for (const [number, { key: manifestKey, text, manifest }] of log.manifests.entries()) {
    if (number < firstSegment) continue;
    files.set(`log/${manifestKey}`, Buffer.from(text));
    files.set(`log/${manifest.segment.key}`, log.files.get(manifest.segment.key) ?? Buffer.alloc(0));
  }
  if (firstSegment > 0)
    files.set('log/frontier.json', canonicalBytes({ ...(log.starts[firstSegment] ?? { size: 0, nodes: [] }) }));
  addPopulation(files, { name: 'sign-ins', source: 'log', rows: signInsOf(log, window) });
  addPopulation(files, { name: 'roles', source: 'database', rows: [{ row: 1, role: 'tenon_app' }] });
}

type Row = Readonly<Record<string, number | string>>;

function signInsOf(log: MadeLog, window: PackPlan['window']): Row[] {
  return log.lines
    .map((line, seq) => ({ line: line.toString(), seq, ms: BEGINNING + seq * 1000 }))
    .filter(
      ({ line, ms }) =>
        line.includes('"session.create"') && ms >= Date.parse(window.from) && ms < Date.parse(window.to),
    )
    .map(({ seq }, index) => ({
      row: index + 1,
      seq,
      leaf: log.leaves[seq]?.toString('hex') ?? '',
      note: 'one,\n"two"',
    }));
}

function addPopulation(
  files: Map<string, Buffer>,
  { name, source, rows }: { name: string; source: 'log' | 'database'; rows: readonly Row[] },
): void {
  const seqs = rows.map(({ seq }) => seq).filter((seq) => typeof seq === 'number');
  const claim = {
    v: 1,
    population: name,
    source,
    select: source === 'log' ? { actions: ['session.create'], outcomes: null } : null,
    first_seq: seqs[0] ?? null,
    last_seq: seqs.at(-1) ?? null,
    count: rows.length,
    expected: rows.length,
    gaps: [],
    head_from: null,
    head_to: null,
    integrity: 'pass',
    completeness: 'pass',
    statement: 'All of them.',
  };
  const cells = (row: Row) =>
    Object.values(row)
      .map((cell) => `"${String(cell).replaceAll('"', '""')}"`)
      .join(',');
  files.set(`populations/${name}.completeness.json`, canonicalBytes(claim));
  files.set(
    `populations/${name}.csv`,
    Buffer.from([Object.keys(rows[0] ?? { row: 0 }).join(','), ...rows.map(cells)].join('\r\n') + '\r\n'),
  );
  files.set(`populations/${name}.ndjson`, Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join('')));
}

function signPack(
  files: Map<string, Buffer>,
  {
    log,
    window,
    key,
    omissions,
    withHead,
    kind,
  }: Pick<PackPlan, 'log' | 'window'> & {
    key: SigningKey;
    omissions: readonly { what: string; why: string }[];
    withHead: boolean;
    kind: 'soc2' | 'gdpr_access';
  },
): Map<string, Buffer> {
  const last = log.manifests.at(-1)?.manifest;
  const rowsOf = (path: string, bytes: Buffer): number | null => {
    const claim = files.get(path.replace(/\.(?:csv|ndjson)$/, '.completeness.json'));
    return claim === undefined || claim === bytes ? null : Number(/"count":(\d+)/.exec(claim.toString())?.[1]);
  };
  const facts = { kind, window, tenant: { id: log.name.tenant, slug: 'acme', region: log.name.region } };
  const manifest = canonicalBytes({
    v: 1,
    ...facts,
    deployment: key.name,
    generator: { name: 'tenon', version: '0.1.0', source_sha256: 'ab'.repeat(32) },
    head:
      withHead && last !== undefined
        ? { origin: last.origin, size: last.size_after, root: last.root_after, checkpoint: last.checkpoint }
        : null,
    files: [...files]
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([path, bytes]) => ({
        path,
        sha256: hash('sha256', bytes, 'hex'),
        bytes: bytes.length,
        rows: rowsOf(path, bytes),
      })),
    omissions: [...omissions],
  });
  const statement: Statement = {
    _type: STATEMENT_TYPE,
    subject: [{ name: 'manifest.json', digest: { sha256: hash('sha256', manifest, 'hex') } }],
    predicateType: 'https://tenon.dev/evidence/v1',
    predicate: facts,
  };
  files.set('manifest.json', manifest);
  files.set(
    'manifest.dsse.json',
    Buffer.from(JSON.stringify(signStatement(statement, { name: key.name, privateKey: key.privateKey }))),
  );
  return files;
}

/** Packs files into a zip in the way of a pack: sizes stand before the content, or behind it where it is streamed. */
export async function zipOf(files: ReadonlyMap<string, Buffer>, { streamed = false } = {}): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [path, bytes] of [...files].toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    const options = {
      mtime: new Date(1980, 0, 1),
      mode: 0o100644,
      forceDosTimestamp: true,
      compressionLevel: path.endsWith('.gz') ? 0 : 6,
    };
    if (streamed) zip.addReadStream(Readable.from([bytes], { objectMode: false }), path, options);
    else zip.addBuffer(bytes, path, options);
  }
  zip.end();
  return buffer(zip.outputStream);
}
