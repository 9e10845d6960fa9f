import { Redis } from 'ioredis';
import { log } from '#kit/log.ts';
import { asTenonError } from '#schema/errors.ts';
import { argumentsOf, BUDGET_SCRIPT, readAnswer, type Call, type CallAnswer } from './redis-script.ts';

/** Where the shared budgets lie. */
export interface RedisStoreOptions {
  /** `redis://` or `rediss://`; Redis from 5 on, Valkey alike. */
  readonly url: string;
  /** Told when the store goes away and when it is back; once at the start which it is. */
  readonly onChange: (away: boolean) => void;
  /** A request waits this long for its budget at most; 50 ms where nothing is said. */
  readonly answerTimeoutMs?: number;
}

/** The store of shared budgets, there or away. */
export interface RedisStore {
  /** Runs the script once, in one round trip; resolves with null where the store is away, without trying. */
  run(call: Call): Promise<CallAnswer | null>;
  close(): void;
}

const ANSWER_TIMEOUT_MS = 50;
/** How often a store that is away is asked whether it is back. */
const PROBE_INTERVAL_MS = 250;

/** Opens the store; one that is away, or slower than it may be, is asked in the background until it answers again. */
export function openRedisStore({ url, onChange, answerTimeoutMs = ANSWER_TIMEOUT_MS }: RedisStoreOptions): RedisStore {
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
    run: async (call) => {
      if (away !== false) return null;
      try {
        return readAnswer(await inTime(evaluate(redis, call), answerTimeoutMs), call.reservations.length);
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

async function evaluate(redis: Redis, call: Call): Promise<unknown> {
  const { keys, args } = argumentsOf(call);
  try {
    return await redis.evalsha(BUDGET_SCRIPT.sha1, keys.length, ...keys, ...args);
  } catch (error) {
    // A store that was started anew knows no script yet.
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return redis.eval(BUDGET_SCRIPT.text, keys.length, ...keys, ...args);
  }
}

/** An answer that lay unread because this process was busy is in time: it is read before the time is called. */
function inTime<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(new Error(`no answer in ${timeoutMs} ms`))), timeoutMs);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
