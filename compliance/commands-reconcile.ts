import pg from 'pg';
import { UsageError, type Command } from '#kit/command.ts';
import type { Statements } from '#kit/cell-stores.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { inAllStores } from '#kit/store-reads.ts';
import { queryStore } from '#kit/store-scope.ts';
import { listStores } from '#kit/store-setup.ts';
import { onlyTo, stampOf, type StoreStamp } from '#kit/store-stamp.ts';
import { readConfig } from '#schema/config.ts';
import { uuidOrNull } from '#schema/ids.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { POOL, storeUrl } from '#schema/tenant-store.ts';
import { alone } from './alone.ts';
import { acknowledge, reconcile } from './platform/reconcile-turn.ts';
import { readReconciliation, type CellReconciliation } from './platform/reconcile-report.ts';

const HOUR = /^\d{4}-\d\d-\d\dT\d\d(?::00(?::00(?:\.000)?)?)?Z?$/;
const HOUR_MS = 3_600_000;
const MAX_REASON_LENGTH = 500;
const clock = () => new Date();

/** `reconcile`: holds the mutations that gateways let through against the audit events of the logs. */
export const reconcileCommand: Command = {
  name: 'reconcile',
  about:
    'Holds every mutation that gateways let through against the audit log, by tenant and hour; a mutation without an event fails.',
  options: {
    tenant: { about: 'One tenant alone (tnt_...)' },
    hour: { about: 'One hour alone, in UTC, such as 2026-11-23T07' },
    now: { about: 'Takes in the hour that has not ended yet', flag: true },
    acknowledge: { about: 'The id of a request whose missing events are explained; their alarm ends' },
    reason: { about: 'Why they are missing; it stands in the platform log for good and names nobody' },
  },
  run: async ({ write, json }, { options }) => {
    const choice = { tenantId: tenantOf(options['tenant']), hour: hourOf(options['hour']) };
    const explained = explanationOf(options);
    const reports: CellReconciliation[] = [];
    let acknowledged = 0;
    const { directoryUrl, cells } = storeSettings(readConfig())('tenon_worker');
    for (const cell of cells) {
      const { name } = cell;
      const [pool, audit] = [openPool(cell, 'cell'), openPool(cell, 'audit')];
      const others = await openStores(directoryUrl, cell);
      const stores = { list: () => Promise.resolve(others) };
      try {
        const lines = { log: () => undefined };
        const scope = options['now'] === 'true' ? { before: clock() } : {};
        // A worker that reconciles at this moment does the same.
        await alone(audit, 'reconciling', () =>
          reconcile({ tenants: pool, stores, audit, cell: name, clock, ...lines }, scope),
        );
        if (explained !== null)
          acknowledged += await acknowledge(audit, { ...explained, tenantId: choice.tenantId, now: clock() });
        const tenants = inAllStores(pool, stores);
        reports.push(await readReconciliation({ tenants, audit, cell: name }, choice));
      } finally {
        await Promise.all([pool, audit, ...others].map((each) => each.end()));
      }
    }
    if (explained !== null && acknowledged === 0)
      throw new UsageError(`--acknowledge names no request with a missing event: ${explained.requestId}`);
    if (json) write(JSON.stringify({ cells: reports }, null, 2));
    else for (const line of linesOf(reports)) write(line);
    if (reports.some(({ missing }) => missing.length > 0)) return 1;
    return reports.some(({ waiting }) => waiting > 0) || reports.every(({ hours }) => hours.length === 0) ? 2 : 0;
  },
};

function linesOf(reports: readonly CellReconciliation[]): string[] {
  return reports.flatMap(({ cell, hours, missing, acknowledged, waiting, reconciledUntil }) => [
    `${cell}: reconciled until ${reconciledUntil ?? 'never'}${waiting > 0 ? `, ${waiting} mutations wait` : ''}`,
    ...hours.map(({ tenant, hour, mutations, events }) => {
      const isExplained = !missing.some((each) => each.tenant === tenant && each.hour === hour);
      const verdict = mutations === events ? 'ok  ' : isExplained ? 'told' : 'FAIL';
      return `${verdict} ${hour} ${tenant}  ${mutations} mutations, ${events} with their event`;
    }),
    ...missing.map(
      ({ tenant, hour, action, requestId, mutations, events }) =>
        `FAIL ${hour} ${tenant}  ${action} of request ${requestId}: ${mutations - events} of ${mutations} without an event`,
    ),
    ...acknowledged.map(
      ({ tenant, hour, action, requestId, mutations, events, reason }) =>
        `told ${hour} ${tenant}  ${action} of request ${requestId}: ${mutations - events} of ${mutations} without an event: ${reason}`,
    ),
  ]);
}

function explanationOf({
  acknowledge: requestId,
  reason,
}: Readonly<Record<string, string | undefined>>): { readonly requestId: string; readonly reason: string } | null {
  if (requestId === undefined && reason === undefined) return null;
  if (requestId === undefined || reason === undefined || reason.trim() === '' || reason.length > MAX_REASON_LENGTH)
    throw new UsageError(`--acknowledge and --reason go together; a reason has up to ${MAX_REASON_LENGTH} characters`);
  return { requestId, reason };
}

function tenantOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  const uuid = uuidOrNull('tnt', text);
  if (uuid === null) throw new UsageError('--tenant takes the id of a tenant (tnt_...)');
  return uuid;
}

function hourOf(text: string | undefined): Date | null {
  if (text === undefined) return null;
  const time = HOUR.test(text) ? Date.parse(`${text.slice(0, 13)}:00:00Z`) : Number.NaN;
  if (Number.isNaN(time) || time % HOUR_MS !== 0)
    throw new UsageError('--hour takes an hour in UTC, such as 2026-11-23T07');
  return new Date(time);
}

/** The stores of a cell beside its pool, each with connections of its own for as long as the command runs. */
async function openStores(directoryUrl: string, cell: CellSettings) {
  const inhabited = (await listStores({ directoryUrl })).filter(
    (row) => row.cell === cell.name && row.tenantId !== null,
  );
  return inhabited.map(({ name, tenantId }) => {
    const opened = openPool({ ...cell, database: storeUrl(cell.database, name) }, 'cell', name);
    const query = (text: string, values?: unknown[]) => queryStore(opened, name, { text, values });
    // Of the ways to call it, these statements use the one with a text and values.
    const statements = { query: query as Statements['query'] };
    return { name, tenantId: tenantId ?? '', stamp: null, statements, end: () => opened.end() };
  });
}

function openPool(cell: CellSettings, kind: StoreStamp['kind'], store = POOL): pg.Pool {
  const pool = new pg.Pool({
    connectionString: kind === 'cell' ? cell.database : cell.auditDatabase,
    max: 3,
    connectionTimeoutMillis: 5_000,
    application_name: 'tenon-cli',
    ...onlyTo(stampOf(cell, kind), () => store),
  });
  pool.on('error', () => undefined);
  return pool;
}
