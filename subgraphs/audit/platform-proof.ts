import { authorize } from '#kit/authorize.ts';
import { inTenantAudit } from '#kit/database.ts';
import { PLATFORM_UUID, type PlatformQuery } from '#kit/platform-log.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { canonicalJson } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { consistencyNodes, consistencyProof, inclusionNodes, inclusionProof } from '#schema/merkle.ts';
import { encodePlatformProof } from '#schema/platform-proof.ts';
import { encodeProof } from '#schema/tlog-proof.ts';
import { readHead } from './entries.ts';
import {
  checkpointOf,
  findTick,
  headsOf,
  inPlatform,
  readEntry,
  readNodes,
  type ArchivedTick,
  type TickChoice,
} from './platform-store.ts';

/** What shows that the platform log of the caller's cell covers her log, and that it never contradicts itself. */
export const platformRoutes: readonly Route[] = [
  { method: 'GET', path: '/v1/audit/platform-proof', scope: 'audit:read', handle: getProof },
  { method: 'GET', path: '/v1/audit/platform/checkpoint', scope: 'audit:read', handle: getCheckpoint },
  { method: 'GET', path: '/v1/audit/platform/consistency', scope: 'audit:read', handle: getConsistency },
];

/**
 * Returns the proof (schema/platform-proof.ts) that a tick of the platform log has committed to the head of the caller's
 * log: the newest tick, or the first that covers an entry of hers. Of other tenants it holds hashes alone. NOT_FOUND
 * where no archived tick covers the log yet.
 */
export async function findPlatformProof(ctx: RequestContext, choice: TickChoice): Promise<string> {
  const logEpoch = 'newest' in choice ? (await inTenantAudit(ctx, readHead)).epoch : choice.logEpoch;
  return inPlatform(ctx, async (query) => {
    const tick = (await findTick(query, ctx, choice)) ?? notYet();
    const heads = await headsOf(query, ctx, tick);
    const own = `/audit/${ctx.tenant.tenant}/${logEpoch}`;
    const index = heads.findIndex(({ origin }) => origin.endsWith(own));
    const head = heads[index] ?? notYet();
    const leaves = heads.map(({ leaf }) => leaf);
    return encodePlatformProof({
      v: 1,
      head: head.text,
      head_index: index,
      head_hashes: inclusionProof(leaves, index, leaves.length).map((hash) => hash.toString('hex')),
      tlog_proof: await proofOfEntry(query, tick),
    });
  });
}

async function proofOfEntry(query: PlatformQuery, { epoch, number, size, checkpoint }: ArchivedTick): Promise<string> {
  const nodes = await readNodes(query, epoch, inclusionNodes(number, size));
  const entry = await readEntry(query, { epoch, number });
  return encodeProof({
    index: number,
    hashes: inclusionProof(nodes, number, size),
    checkpoint,
    extra: Buffer.from(entry),
  });
}

async function getProof(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  const { seq, epoch } = numbersOf(req, ['seq', 'epoch']);
  if (seq === undefined && epoch !== undefined) refuse('"epoch" goes with "seq".');
  const logEpoch = epoch ?? (seq === undefined ? 0 : (await inTenantAudit(ctx, readHead)).epoch);
  const proof = await findPlatformProof(ctx, seq === undefined ? { newest: true } : { logEpoch, seq });
  return { status: 200, headers: json('platform-proof.json'), body: `${proof}\n` };
}

async function getCheckpoint(ctx: RequestContext): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  const tick = await inPlatform(ctx, (query) => findTick(query, ctx, { newest: true }));
  return {
    status: 200,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
    body: (tick ?? notYet()).checkpoint,
  };
}

/** Between sizes of checkpoints; the notes themselves come along where a tick ended at that size. */
async function getConsistency(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  const { from, to, epoch } = numbersOf(req, ['from', 'to', 'epoch']);
  if (from === undefined || to === undefined || from > to) return refuse('It takes "from" and "to", with from <= to.');
  const proof = await inPlatform(ctx, async (query) => {
    const newest = (await findTick(query, ctx, { newest: true })) ?? notYet();
    const asked = epoch ?? newest.epoch;
    const last = asked === newest.epoch ? newest : await newestOf(query, asked);
    if (to > last.size)
      fail('NOT_FOUND', 'no checkpoint of that size', { hint: 'The log has no checkpoint of that size.' });
    const hashes = consistencyProof(await readNodes(query, asked, consistencyNodes(from, to)), from, to);
    return {
      v: 1,
      origin: checkpointOf(last.checkpoint).origin,
      from,
      to,
      hashes: hashes.map((hash) => hash.toString('hex')),
      checkpoints: [await checkpointAt(query, asked, from), await checkpointAt(query, asked, to)],
    };
  });
  return { status: 200, headers: json('platform-consistency.json'), body: `${canonicalJson(proof)}\n` };
}

async function newestOf(query: PlatformQuery, epoch: number): Promise<{ size: number; checkpoint: string }> {
  const [row] = await query<{ size: string; checkpoint: string }>(
    `select first_number + count as size, checkpoint from platform_ticks
      where tenant_id = $1 and epoch = $2 and state = 'archived' order by tick desc limit 1`,
    [PLATFORM_UUID, epoch],
  );
  return row === undefined ? notYet() : { size: Number(row.size), checkpoint: row.checkpoint };
}

async function checkpointAt(query: PlatformQuery, epoch: number, size: number): Promise<string | null> {
  const [row] = await query<{ checkpoint: string }>(
    `select t.checkpoint from platform_entries e
       join platform_ticks t on t.tenant_id = e.tenant_id and t.epoch = e.epoch and t.tick = e.tick
      where e.tenant_id = $1 and e.epoch = $2 and e.number = $3::bigint - 1
        and t.state = 'archived' and t.first_number + t.count = $3`,
    [PLATFORM_UUID, epoch, size],
  );
  return row?.checkpoint ?? null;
}

/** Values are copied by known names alone; an unknown or repeated parameter is refused rather than passed over. */
function numbersOf<Name extends string>(
  { query }: RouteRequest,
  names: readonly Name[],
): Partial<Record<Name, number>> {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const numbers: Partial<Record<Name, number>> = {};
  for (const [name, value] of given) {
    const known = names.find((each) => each === name) ?? refuse(`It takes ${names.join(', ')} and nothing else.`);
    if (typeof value !== 'string' || !/^\d{1,15}$/.test(value)) return refuse(`"${known}" takes a number.`);
    if (known === 'epoch' && value.length > 9) return refuse('"epoch" is too large.');
    numbers[known] = Number(value);
  }
  return numbers;
}

function json(name: string): Record<string, string> {
  return {
    'content-type': 'application/json',
    'content-disposition': `attachment; filename="${name}"`,
    'cache-control': 'no-store',
  };
}

function notYet(): never {
  return fail('NOT_FOUND', 'no tick of the platform log covers it', {
    hint: 'The platform log does not cover it yet; it does with the next minute.',
  });
}

function refuse(hint: string): never {
  return fail('BAD_USER_INPUT', 'a parameter is refused', { hint });
}
