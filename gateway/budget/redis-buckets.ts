import { hash } from 'node:crypto';
import { Redis } from 'ioredis';
import { log } from '#kit/log.ts';
import { asTenonError } from '#schema/errors.ts';
import {
  checkAffordable,
  newTenantBuckets,
  statusOf,
  type BucketStatus,
  type Reservation,
  type ReserveRequest,
  type TenantBudgets,
  type TierLimits,
} from './token-bucket.ts';

/** Where the shared budgets lie. */
export interface RedisBucketsOptions {
  /** `redis://` or `rediss://`; Redis from 5 on, Valkey alike. */
  readonly url: string;
  /** Told when the store goes away and when it is back. */
  readonly onChange: (away: boolean) => void;
  /** An operation waits this long for its budget at most; 50 ms where nothing is said. */
  readonly answerTimeoutMs?: number;
}

/** Budgets that all gateways on one Redis share. */
export interface RedisBuckets extends TenantBudgets {
  close: () => void;
}

const ANSWER_TIMEOUT_MS = 50;
/** How often a store that is away is asked whether it is back. */
const PROBE_INTERVAL_MS = 250;
/** Of a tier's budget each gateway gives this share while it cannot ask what the others gave. */
const LOCAL_SHARE = 0.5;

/**
 * Both scripts read one key, so that a cluster runs them on one node, and Redis tells the time, so that the clocks of
 * gateways do not matter. What a missing key stands for is a full bucket, and a key goes when its bucket is full.
 * KEYS: the bucket. Both answer with the level, as text since Redis cuts numbers to whole ones.
 */
const FILL = `
local now = redis.call('TIME')
now = now[1] * 1000 + now[2] / 1000
local capacity, restore = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'level', 'at', 'capacity', 'restore')
local level = capacity
if known[1] then
  local earned = math.max(0, now - known[2]) * known[4] / 1000
  level = math.min(capacity, tonumber(known[3]), known[1] + earned)
end
local function exact(number) return string.format('%.17g', number) end
local function store()
  redis.call('HSET', KEYS[1], 'level', exact(level), 'at', exact(now), 'capacity', exact(capacity), 'restore', exact(restore))
  redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - level) / restore * 1000) + 1)
end
`;

/** ARGV: capacity, points restored a second, cost. */
const RESERVE = scriptOf(`${FILL}
local cost = tonumber(ARGV[3])
local allowed = level >= cost
if allowed then level = level - cost end
store()
return {allowed and 1 or 0, exact(level)}
`);

/** ARGV: capacity, points restored a second, reserved less actual cost. */
const SETTLE = scriptOf(`${FILL}
level = math.min(capacity, math.max(-capacity, level + tonumber(ARGV[3])))
store()
return {1, exact(level)}
`);

interface Script {
  readonly text: string;
  readonly sha1: string;
}

/** What a reservation was taken from, which is what it is settled with. */
type Origin = { readonly local: Reservation } | { readonly limits: TierLimits };

/**
 * Returns budgets in Redis. While it is away or slower than it may be, each gateway gives half of every budget out of its own
 * memory; it is asked in the background and used again once it answers, without a restart. A reservation is settled
 * where it was taken; one whose store went away meanwhile is not settled, and refilling makes up for it in time.
 */
export function newRedisBuckets(options: RedisBucketsOptions): RedisBuckets {
  const store = openStore(options);
  const local = newTenantBuckets();
  const origins = new WeakMap<Reservation, Origin>();
  const remember = (reservation: Reservation, origin: Origin): Reservation => {
    if (reservation.status.allowed) origins.set(reservation, origin);
    return reservation;
  };
  return {
    async reserve(request) {
      checkAffordable(request.cost, request.limits);
      const { tenantId, limits, cost, nowMs } = request;
      const answer = await store.run(RESERVE, request, cost);
      if (answer !== null) {
        const status = statusAt(answer.level, limits, { nowMs, refusedCost: answer.allowed ? null : cost });
        return remember({ tenantId, reserved: answer.allowed ? cost : 0, status }, { limits });
      }
      const reservation = local.reserve(halved(request));
      return remember({ ...reservation }, { local: reservation });
    },
    async settle(reservation, actual, nowMs) {
      const origin = origins.get(reservation);
      if (origin === undefined || !origins.delete(reservation)) return reservation.status;
      if ('local' in origin) return local.settle(origin.local, actual, nowMs);
      const { tenantId, reserved, status } = reservation;
      const answer = await store.run(SETTLE, { tenantId, limits: origin.limits }, reserved - actual);
      return answer === null ? status : statusAt(answer.level, origin.limits, { nowMs, refusedCost: null });
    },
    close: () => store.close(),
  };
}

/** What a full half cannot pay, it pays with all it holds: a store that is away makes no operation impossible. */
function halved({ limits, cost, ...request }: ReserveRequest): ReserveRequest {
  const capacity = limits.capacity * LOCAL_SHARE;
  const restorePerSecond = limits.restorePerSecond * LOCAL_SHARE;
  return { ...request, limits: { ...limits, capacity, restorePerSecond }, cost: Math.min(cost, capacity) };
}

function statusAt(
  level: number,
  limits: TierLimits,
  { nowMs, refusedCost }: { nowMs: number; refusedCost: number | null },
): BucketStatus {
  return statusOf({ limits, level, updatedMs: nowMs }, refusedCost);
}

interface Store {
  /** Resolves with null where the store is away. */
  run(
    call: Script,
    bucket: { readonly tenantId: string; readonly limits: TierLimits },
    points: number,
  ): Promise<{ allowed: boolean; level: number } | null>;
  close: () => void;
}

function openStore({ url, onChange, answerTimeoutMs = ANSWER_TIMEOUT_MS }: RedisBucketsOptions): Store {
  // A command is sent at once or fails; the connection itself is tried for ever.
  const redis = new Redis(url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 1_000,
    commandTimeout: 1_000,
    retryStrategy: () => PROBE_INTERVAL_MS,
  });
  // Null until the first answer, or failure, says which it is.
  let away: boolean | null = null;
  let ended = false;
  const change = (to: boolean, reason?: unknown): void => {
    if (to === away || ended) return;
    away = to;
    onChange(to);
    if (to)
      log('warn', 'the budget store is away; this gateway gives half budgets out of its memory', {
        reason: asTenonError(reason).message,
      });
    else log('info', 'the budget store answers; budgets are shared');
  };
  const probe = async (): Promise<void> => {
    try {
      await inTime(redis.ping(), answerTimeoutMs);
      change(false);
    } catch (error) {
      change(true, error);
      // A connection whose other end is gone without a word would stay silent for minutes.
      if (redis.status === 'ready') redis.disconnect(true);
    }
  };
  const timer = setInterval(() => away !== false && void probe(), PROBE_INTERVAL_MS).unref();
  redis.on('ready', () => void probe());
  redis.on('error', (error) => change(true, error));
  return {
    run: async (call, { tenantId, limits }, points) => {
      if (away !== false) return null;
      try {
        const values = [limits.capacity, limits.restorePerSecond, points] as const;
        return answerOf(await inTime(evaluate(redis, call, [keyOf(tenantId), ...values]), answerTimeoutMs));
      } catch (error) {
        change(true, error);
        return null;
      }
    },
    close: () => {
      ended = true;
      clearInterval(timer);
      redis.disconnect();
    },
  };
}

function keyOf(tenantId: string): string {
  return `tenon:budget:{${tenantId}}`;
}

async function evaluate(
  redis: Redis,
  { sha1, text }: Script,
  [key, ...values]: [string, ...number[]],
): Promise<unknown> {
  try {
    return await redis.evalsha(sha1, 1, key, ...values);
  } catch (error) {
    // A store that was started anew knows no script yet.
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return redis.eval(text, 1, key, ...values);
  }
}

function answerOf(answer: unknown): { allowed: boolean; level: number } {
  const [allowed, level] = Array.isArray(answer) ? (answer as unknown[]) : [];
  const points = Number(level);
  if (typeof level !== 'string' || !Number.isFinite(points)) throw new Error('the budget store answers something else');
  return { allowed: allowed === 1, level: points };
}

/** An answer that lay unread because this process was busy is in time: it is read before the time is called. */
function inTime<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(new Error(`no answer in ${timeoutMs} ms`))), timeoutMs);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function scriptOf(text: string): Script {
  return { text, sha1: hash('sha1', text, 'hex') };
}
