import { hash } from 'node:crypto';
import type { LimitSubject, Rate } from '#schema/budget-limits.ts';
import type { BucketName, Levels } from './policies.ts';

/** What is taken from, or given back to, one bucket in the store. */
export interface Entry {
  readonly key: string;
  readonly bucket: BucketName;
  readonly rate: Rate;
  readonly amount: number;
}

/** One call of the script: settlements come first and always pass, reservations pass all together or not at all. */
export interface Call {
  readonly settlements: readonly Entry[];
  readonly reservations: readonly Entry[];
}

/** What a call is answered with. */
export interface CallAnswer {
  readonly allowed: boolean;
  /** What the buckets of the reservations hold after it, in their order. */
  readonly levels: Levels;
}

/**
 * One script for one tenant: all keys share her hash tag, so that a cluster runs it on one node, and the store tells the
 * time, so that the clocks of gateways do not matter. A key is a hash of buckets, each packed as level, time, capacity
 * and points restored a second. A bucket that is missing is full, and a key goes when all its buckets are.
 * ARGV: the number of settlements, then five an entry: key, bucket, capacity, restored a second, amount. A settlement
 * leaves the limits of a bucket as they are; a reservation puts its own in force. Answers with 1 or 0 and the levels, as
 * text since Redis cuts numbers to whole ones.
 */
const TEXT = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local FORMAT, LONGEST_MS, ENTRY = '<dddd', 2592000000, 5
local held, changed = {}, {}
local function bucketOf(at, isSettlement)
  local key, name = KEYS[tonumber(ARGV[at])], ARGV[at + 1]
  local capacity, restore = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  held[key] = held[key] or {}
  local bucket = held[key][name]
  if not bucket then
    bucket = { level = capacity, capacity = capacity, restore = restore }
    local packed = redis.call('HGET', key, name)
    if packed then
      local level, time, before, earned = struct.unpack(FORMAT, packed)
      bucket.level = math.min(before, level + math.max(0, now - time) * earned / 1000)
      bucket.capacity, bucket.restore = before, earned
    end
    held[key][name] = bucket
  end
  if not isSettlement then
    bucket.level = math.min(capacity, bucket.level)
    bucket.capacity, bucket.restore = capacity, restore
  end
  return bucket
end
local first = 2
for _ = 1, tonumber(ARGV[1]) do
  local bucket = bucketOf(first, true)
  bucket.level = math.min(bucket.capacity, math.max(-bucket.capacity, bucket.level + tonumber(ARGV[first + 4])))
  first = first + ENTRY
end
local allowed = 1
for at = first, #ARGV, ENTRY do
  if bucketOf(at, false).level < tonumber(ARGV[at + 4]) then allowed = 0 end
end
local answer = { allowed }
for at = first, #ARGV, ENTRY do
  local bucket = bucketOf(at, false)
  if allowed == 1 then bucket.level = bucket.level - tonumber(ARGV[at + 4]) end
  answer[#answer + 1] = string.format('%.17g', bucket.level)
end
for key, buckets in pairs(held) do
  local fields, fullInMs = {}, 1
  for name, bucket in pairs(buckets) do
    fields[#fields + 1] = name
    fields[#fields + 1] = struct.pack(FORMAT, bucket.level, now, bucket.capacity, bucket.restore)
    local missing = bucket.capacity - bucket.level
    if missing > 0 then fullInMs = math.max(fullInMs, math.min(LONGEST_MS, missing / bucket.restore * 1000)) end
  end
  redis.call('HSET', key, unpack(fields))
  if fullInMs > redis.call('PTTL', key) then redis.call('PEXPIRE', key, math.ceil(fullInMs) + 1) end
end
return answer
`;

/** The script and the name that the store knows it by once it has run. */
export const BUDGET_SCRIPT = { text: TEXT, sha1: hash('sha1', TEXT, 'hex') } as const;

/** Returns the key that holds the buckets of a subject. */
export function keyOf(tenantId: string, subject: LimitSubject, id: string): string {
  const tenant = `tenon:budget:{${tenantId}}`;
  return subject === 'tenant' ? tenant : `${tenant}:${subject}:${id}`;
}

/** Returns the keys and the arguments of a call. */
export function argumentsOf({ settlements, reservations }: Call): { keys: string[]; args: (string | number)[] } {
  const keys: string[] = [];
  const args: (string | number)[] = [settlements.length];
  for (const { key, bucket, rate, amount } of [...settlements, ...reservations]) {
    let index = keys.indexOf(key);
    if (index < 0) index = keys.push(key) - 1;
    args.push(index + 1, bucket, rate.capacity, rate.restorePerSecond, amount);
  }
  return { keys, args };
}

/** Reads an answer of the script for so many reservations; anything else throws. */
export function readAnswer(answer: unknown, reservations: number): CallAnswer {
  const values: unknown[] = Array.isArray(answer) ? answer : [];
  const [allowed, ...texts] = values;
  const levels = texts.map((text) => (typeof text === 'string' ? Number(text) : Number.NaN));
  if (levels.length !== reservations || !levels.every(Number.isFinite) || typeof allowed !== 'number')
    throw new Error('the budget store answers something else');
  return { allowed: allowed === 1, levels };
}
