import { idOf, uuidOf } from '#schema/ids.ts';
import { encodePlatformHead, platformLeaf, type PlatformHead } from '#schema/platform-entry.ts';
import { PLATFORM_ID } from '#schema/service-levels.ts';

/** Runs one statement over an audit database, as who may read the platform's own rows. */
export type PlatformQuery = <Row extends object>(text: string, values: readonly unknown[]) => Promise<readonly Row[]>;

/** A tick of a platform log. */
export interface TickPlace {
  readonly epoch: number;
  readonly tick: number;
}

/** The head of a tenant log as a tick has committed to it. */
export interface StoredHead {
  /** UUID of the tenant. */
  readonly owner: string;
  readonly logEpoch: number;
  readonly size: number;
  /** Lower-case hex. */
  readonly root: string;
  readonly mutations: number;
  readonly events: number;
}

/** A leaf of the tree of heads. */
export interface HeadLeaf {
  readonly origin: string;
  /** RFC 8785 text of the head, which is hashed. */
  readonly text: string;
  readonly leaf: Buffer;
}

/** The UUID under which the platform's own rows stand. */
export const PLATFORM_UUID: string = uuidOf('tnt', PLATFORM_ID);

/** Returns the heads that a tick has committed to, one for every log, in no order; it visits each log once, however long its history. */
export async function readPlatformHeads(query: PlatformQuery, { epoch, tick }: TickPlace): Promise<StoredHead[]> {
  const rows = await query<HeadRow>(HEADS_SQL, [PLATFORM_UUID, epoch, tick]);
  return rows.map((row) => ({
    owner: row.owner,
    logEpoch: row.log_epoch,
    size: Number(row.size),
    root: row.root.toString('hex'),
    mutations: Number(row.mutations),
    events: Number(row.events),
  }));
}

/** Returns the origin of a tenant log. */
export function headOrigin(deployment: string, { owner, logEpoch }: Pick<StoredHead, 'owner' | 'logEpoch'>): string {
  return `${deployment}/audit/${idOf('tnt', owner)}/${logEpoch}`;
}

/** Returns the head as the tree of heads has it. */
export function headLeafOf(deployment: string, head: StoredHead): HeadLeaf {
  const origin = headOrigin(deployment, head);
  const { size, root, mutations, events } = head;
  const value: PlatformHead = { v: 1, origin, size, root, mutations, events };
  const text = encodePlatformHead(value);
  return { origin, text, leaf: platformLeaf(text) };
}

interface HeadRow {
  readonly owner: string;
  readonly log_epoch: number;
  readonly size: string;
  readonly root: Buffer;
  readonly mutations: string;
  readonly events: string;
}

// From log to log along the primary key: `distinct on` would read the whole history of all of them.
const HEADS_SQL = `
with recursive logs as (
  (select owner, log_epoch from platform_heads
    where tenant_id = $1 and epoch = $2 order by owner, log_epoch limit 1)
  union all
  select next.owner, next.log_epoch from logs, lateral (
    select h.owner, h.log_epoch from platform_heads h
     where h.tenant_id = $1 and h.epoch = $2 and (h.owner, h.log_epoch) > (logs.owner, logs.log_epoch)
     order by h.owner, h.log_epoch limit 1) as next
)
select logs.owner, logs.log_epoch, head.size, head.root, head.mutations, head.events from logs, lateral (
  select h.size, h.root, h.mutations, h.events from platform_heads h
   where h.tenant_id = $1 and h.epoch = $2 and h.owner = logs.owner and h.log_epoch = logs.log_epoch and h.tick <= $3
   order by h.tick desc limit 1) as head`;
