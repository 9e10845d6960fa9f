import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { TIER_LIMITS, type BudgetLimits } from '#schema/budget-limits.ts';
import { budgetHeaders } from '../../gateway/budget/budget-headers.ts';
import { newFairQueue } from '../../gateway/budget/fair-queue.ts';
import { newMemoryBudgets } from '../../gateway/budget/memory-budgets.ts';
import { newRefusalPace } from '../../gateway/budget/refusal-pace.ts';
import { ThrottledError } from '../../gateway/budget/throttled-error.ts';
import { serveBench } from './server-process.ts';

// The budgets and the fair queue alone, before work of 2 to 5 ms that is shaped like a federated read: a third of it
// computes, in three pieces, with waits for a store in between. The bearer token names the tenant.

const SLICE_MS = 0.3;
const isFair = process.env['FAIRNESS'] !== 'off';
/** Flooding within her budget: a tenant whom nothing but the queue slows down. */
const boundless = { capacity: 1e9, restorePerSecond: 1e9 };
const generous = { points: { query: boundless, mutation: boundless, bulk: boundless }, requests: boundless };
const limitsOf = (tenant: string): BudgetLimits =>
  tenant === 'flood-beyond'
    ? TIER_LIMITS.FREE
    : { maxQueryCost: 1_000, concurrency: 32, tenant: generous, client: generous, user: generous };
const knownLimits = new Map<string, BudgetLimits>();

const budgets = newMemoryBudgets();
const queue = isFair ? newFairQueue() : { enter: () => () => undefined };
const pace = newRefusalPace(isFair ? {} : { perSecond: Infinity });

const server = createServer((req, res) => void serve(req, res));
server.listen(0, '127.0.0.1', () => serveBench(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));

async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
  for await (const _ of req);
  const tenantId = (req.headers.authorization ?? '').replace('Bearer ', '');
  const limits = knownLimits.get(tenantId) ?? limitsOf(tenantId);
  knownLimits.set(tenantId, limits);
  try {
    const status = await admitted(tenantId, limits);
    res.writeHead(200, budgetHeaders(status)).end('{"data":{}}');
  } catch (error) {
    if (!(error instanceof ThrottledError)) throw error;
    await pace.hold(tenantId);
    res.writeHead(429, budgetHeaders(error.refusal.status, error.refusal.retryAfterSeconds)).end('{"errors":[]}');
  }
}

async function admitted(tenantId: string, limits: BudgetLimits) {
  const nowMs = performance.now();
  const asked = { tenantId, client: null, user: 'usr', operationClass: 'query', limits, cost: 10, nowMs } as const;
  const reservation = budgets.reserve(asked);
  if (!reservation.allowed) throw new ThrottledError(reservation);
  const leave = await queue.enter(tenantId, limits);
  try {
    compute();
    await pause(0.5 + Math.random() * 1.5);
    compute();
    await pause(0.5 + Math.random() * 1.5);
    compute();
    return budgets.settle(reservation, 4, performance.now());
  } finally {
    leave();
  }
}

function compute(): void {
  for (const until = performance.now() + SLICE_MS; performance.now() < until;);
}
