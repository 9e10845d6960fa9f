import type pg from 'pg';
import { asTenonError } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import type { PackManifest } from '../verify/pack-manifest.ts';
import { buildEvidencePack } from './pack.ts';
import type { EvidenceBuilder } from './pack-scope.ts';

/** What building the packs that tenants ask for needs; the platform is opened as `tenon_worker`. */
export interface EvidenceTurnOptions extends EvidenceBuilder {
  /** Names of the cells to serve. */
  readonly cells: readonly string[];
}

interface RequestedPack {
  readonly tenant_id: string;
  readonly id: string;
  readonly kind: PackManifest['kind'];
  /** The event that asks for it. */
  readonly request_event: string | null;
  readonly subject_id: string | null;
  readonly window_from: Date;
  readonly window_to: Date;
  readonly requested_at: Date;
}

/** Bytes of one row of evidence_chunks; the reader holds one of them in memory. */
const CHUNK_BYTES = 1024 * 1024;
/** "evid" in ASCII: nothing else in the audit database locks these numbers. */
const LOCK_CLASS = 0x65766964;
/** Packs looked at in one turn; those of a tenant whose log is not sealed yet must not hide the others for long. */
const PAGE_SIZE = 50;
/** A pack waits until its own request is sealed, so that it holds it; where sealing stands still, not longer than this. */
const PATIENCE_MS = 60_000;
/** So long a pack can be fetched. */
const KEPT_MS = 30 * 86_400_000;

/**
 * Returns the function that builds, each time it is called, at most one requested pack of every cell, and tells whether
 * there was one. A pack that cannot be built becomes `failed` with the public sentence of its error. Several workers
 * may run it; while one builds a pack it holds a lock that ends with its connection, so a pack whose worker was killed
 * is taken up again at the next turn of any.
 */
export function evidenceTurn(options: EvidenceTurnOptions): () => Promise<boolean> {
  return async () => {
    let worked = false;
    for (const cell of options.cells) worked = (await buildNext(options, cell)) || worked;
    return worked;
  };
}

async function buildNext(options: EvidenceTurnOptions, cell: string): Promise<boolean> {
  const client = await options.platform.databases.auditPool(cell).connect();
  let broken = true;
  client.on('error', ignore);
  try {
    await expireOld(client, options.platform.clock());
    const pack = await claim(client, options.platform.clock());
    if (pack !== null) {
      await build(options, client, pack);
      await client.query('select pg_advisory_unlock($1, hashtext($2))', [LOCK_CLASS, pack.id]);
    }
    broken = false;
    return pack !== null;
  } finally {
    client.removeListener('error', ignore);
    // A connection that is closed lets go of its lock, whatever went wrong.
    client.release(broken);
  }
}

/** A pack holds what is personal in plain text, so it does not lie about: it can be built anew. */
async function expireOld(client: pg.PoolClient, now: Date): Promise<void> {
  await client.query(
    `with old as (update evidence_packs set state = 'expired', size_bytes = null, sha256 = null
        where (tenant_id, id) in (select tenant_id, id from evidence_packs
          where state = 'ready' and finished_at < $1 limit $2) returning tenant_id, id)
     delete from evidence_chunks c using old where c.tenant_id = old.tenant_id and c.pack_id = old.id`,
    [new Date(now.getTime() - KEPT_MS), PAGE_SIZE],
  );
}

/** The oldest pack that nobody builds and whose request the sealed log holds; locked, and in state `building`. */
async function claim(client: pg.PoolClient, now: Date): Promise<RequestedPack | null> {
  const { rows } = await client.query<RequestedPack>(
    `select tenant_id, id, request_event, kind, subject_id, window_from, window_to, requested_at from evidence_packs
      where state in ('requested', 'building') order by requested_at, id limit $1`,
    [PAGE_SIZE],
  );
  for (const pack of rows) {
    const isDue = now.getTime() - pack.requested_at.getTime() > PATIENCE_MS || (await isRequestSealed(client, pack));
    if (isDue && (await lock(client, pack))) return pack;
  }
  return null;
}

async function isRequestSealed(
  client: pg.PoolClient,
  { tenant_id: tenant, request_event: request }: RequestedPack,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from log_entries e join log_heads h on h.tenant_id = e.tenant_id and h.epoch = e.epoch
      where e.tenant_id = $1 and e.event_id = $2 and e.seq < h.sealed_size`,
    [tenant, request],
  );
  return rowCount === 1;
}

/** False where another worker builds it, or has built it since it was read. */
async function lock(client: pg.PoolClient, { tenant_id: tenant, id }: RequestedPack): Promise<boolean> {
  const { rows } = await client.query<{ held: boolean }>(
    `select pg_try_advisory_lock($1, hashtext($2)) as held, set_config('tcp_keepalives_idle', '30', false),
            set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)`,
    [LOCK_CLASS, id],
  );
  if (rows[0]?.held !== true) return false;
  const { rowCount } = await client.query(
    `update evidence_packs set state = 'building'
      where tenant_id = $1 and id = $2 and state in ('requested', 'building')`,
    [tenant, id],
  );
  if (rowCount === 1) return true;
  await client.query('select pg_advisory_unlock($1, hashtext($2))', [LOCK_CLASS, id]);
  return false;
}

async function build(options: EvidenceTurnOptions, client: pg.PoolClient, pack: RequestedPack): Promise<void> {
  const { tenant_id: tenantId, id, kind, subject_id: subject } = pack;
  const tenant = idOf('tnt', tenantId);
  await deleteChunks(client, pack);
  try {
    const { stream, done } = buildEvidencePack({
      ...options,
      tenant,
      kind,
      window: { from: pack.window_from, to: pack.window_to },
      ...(subject === null ? {} : { subjectId: idOf('usr', subject) }),
    });
    await storeChunks(client, pack, stream);
    const { sha256, sizeBytes } = await done;
    await client.query(
      `update evidence_packs set state = 'ready', size_bytes = $3, sha256 = $4, finished_at = $5, failure = null
        where tenant_id = $1 and id = $2`,
      [tenantId, id, sizeBytes, sha256, options.platform.clock()],
    );
    options.log('info', 'evidence pack ready', { tenant, pack: idOf('evd', id), kind, sizeBytes });
  } catch (thrown) {
    const error = asTenonError(thrown);
    options.log('error', `evidence pack failed: ${error.message}`, { tenant, pack: idOf('evd', id), code: error.code });
    await deleteChunks(client, pack);
    await client.query(
      `update evidence_packs set state = 'failed', failure = $3, finished_at = $4 where tenant_id = $1 and id = $2`,
      [tenantId, id, error.publicMessage, options.platform.clock()],
    );
  }
}

/** What a worker left that was killed while it built the same pack, or what a fault left just now. */
async function deleteChunks(client: pg.PoolClient, { tenant_id: tenant, id }: RequestedPack): Promise<void> {
  await client.query('delete from evidence_chunks where tenant_id = $1 and pack_id = $2', [tenant, id]);
}

async function storeChunks(client: pg.PoolClient, pack: RequestedPack, pieces: AsyncIterable<Buffer>): Promise<void> {
  let number = 0;
  for await (const chunk of chunksOf(pieces)) {
    await client.query('insert into evidence_chunks (tenant_id, pack_id, number, bytes) values ($1, $2, $3, $4)', [
      pack.tenant_id,
      pack.id,
      number,
      chunk,
    ]);
    number += 1;
  }
}

async function* chunksOf(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let pending: Buffer[] = [];
  let length = 0;
  for await (const piece of pieces) {
    pending.push(piece);
    length += piece.length;
    while (length >= CHUNK_BYTES) {
      const bytes = Buffer.concat(pending);
      yield bytes.subarray(0, CHUNK_BYTES);
      pending = [bytes.subarray(CHUNK_BYTES)];
      length -= CHUNK_BYTES;
    }
  }
  if (length > 0) yield Buffer.concat(pending);
}

function ignore(): void {}
