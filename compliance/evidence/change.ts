import { hash } from 'node:crypto';
import pg from 'pg';
import { auditActions } from '#kit/audit-actions.ts';
import { DATABASE_KINDS, sqlPath } from '#kit/database-setup.ts';
import { migrationStatus, type AppliedMigration } from '#kit/migrations.ts';
import type { Collection, CollectionScope, Collector, ControlException, ControlFinding } from './collector.ts';
import { isWithin, writeFromLog } from './log-population.ts';
import type { Population } from './population.ts';
import { cellText, type Row } from './table.ts';
import { withEvidenceClient } from './evidence-client.ts';

/** E5: which changes the stores and the interface have seen, and which state they are in. */
export const change: Collector = {
  id: 'E5',
  title: 'Change',
  criteria: ['CC8.1', 'CC7.1'],
  collect,
};

interface Series {
  readonly database: 'cell' | 'audit';
  readonly series: string;
  readonly applied: readonly AppliedMigration[];
  /** Names of files that wait to be applied. */
  readonly pending: readonly string[];
  readonly fault: string | null;
}

const UNREADABLE =
  'The role that built this pack may not read tenon.migrations, so what was applied could not be listed.';

async function collect(scope: CollectionScope): Promise<Collection> {
  const series = await readSeries(scope);
  const actions = await actionRows(scope);
  const populations = [
    ...(series === null ? [] : [await writeMigrations(scope, series)]),
    await scope.write({
      name: 'mutations',
      title: 'Every change that the interface offers, the audit action that it writes, and how often the window saw it',
      select: null,
      columns: ['action', 'mutation', 'controls', 'entries_in_window'],
      rows: actions,
      query:
        '-- From the directives @audit and @control of the supergraph; the entries are counted in the sealed segments in log/.',
      expected: () => actions.length,
    }),
    await writeFromLog(scope, {
      name: 'tenant-changes',
      title: 'Changes of the tenant herself: made, moved between tiers and states',
      actions: ['tenant.create', 'tenant.change_tier', 'tenant.change_state'],
    }),
  ];
  return { populations, controls: controlsOf(scope, { series, actions }) };
}

function writeMigrations(scope: CollectionScope, series: readonly Series[]): Promise<Population> {
  const rows = series.flatMap(migrationRows);
  return scope.write({
    name: 'migrations',
    title: 'Migrations of the databases that hold the tenant, as they were applied',
    select: null,
    columns: ['database', 'series', 'number', 'name', 'sha256', 'applied_at'],
    rows,
    query: MIGRATIONS_SQL,
    expected: () => series.reduce((sum, { applied }) => sum + applied.length, 0),
  });
}

const MIGRATIONS_SQL = `-- In each of the two databases:
select series, number, name, sha256, applied_at from tenon.migrations order by series, number`;

function controlsOf(
  scope: CollectionScope,
  { series, actions }: { series: readonly Series[] | null; actions: readonly Row[] },
): ControlFinding[] {
  const unaudited = actions.filter(({ action }) => action === '');
  return [
    {
      criterion: 'CC8.1',
      test: 'The applied migrations were compared, by their hashes, with those that this program is built from.',
      populations: [...(series === null ? [] : ['migrations']), 'tenant-changes'],
      exceptions: series?.flatMap(seriesFaults) ?? [],
      untested: series === null ? UNREADABLE : null,
      facts: { migrations: series?.reduce((sum, { applied }) => sum + applied.length, 0) ?? null },
    },
    {
      criterion: 'CC7.1',
      test: 'The interface was read from its composed schema: each change that it offers must name the audit action that it writes.',
      populations: ['mutations'],
      exceptions: unaudited.map(({ mutation }) => ({
        object: cellText(mutation),
        sentence: 'it names no audit action',
        seq: null,
      })),
      untested: null,
      facts: {
        supergraph_sha256: hash('sha256', scope.supergraphSdl, 'hex'),
        generator: { ...scope.generator },
        mutations: actions.filter(({ mutation }) => mutation !== null).length,
      },
    },
  ];
}

/** Returns where the databases stand, or null where the role may not read it. */
async function readSeries({ cell }: CollectionScope): Promise<Series[] | null> {
  const found: Series[] = [];
  for (const [database, at] of [
    ['cell', { url: cell.database, store: cell.store }],
    ['audit', { url: cell.auditDatabase }],
  ] as const) {
    for (const series of DATABASE_KINDS[database]) {
      const status = await readStatus(at, series);
      if (status === null) return null;
      found.push({ database, series, applied: status.applied, pending: status.pending, fault: status.fault });
    }
  }
  return found;
}

async function readStatus(
  at: { readonly url: string; readonly store?: string | undefined },
  series: string,
): Promise<Pick<Series, 'applied' | 'pending' | 'fault'> | null> {
  try {
    return await withEvidenceClient(at, (client) => migrationStatus({ client, folder: sqlPath(series) }));
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === INSUFFICIENT_PRIVILEGE) return null;
    throw error;
  }
}

const INSUFFICIENT_PRIVILEGE = '42501';

function migrationRows({ database, series, applied }: Series): Row[] {
  return applied.map(({ number, name, sha256, appliedAt }) => ({
    database,
    series,
    number,
    name,
    sha256,
    applied_at: appliedAt.toISOString(),
  }));
}

function seriesFaults({ database, series, fault, pending }: Series): ControlException[] {
  const object = `${database}: ${series}`;
  return [
    ...(fault === null ? [] : [{ object, sentence: fault, seq: null }]),
    ...pending.map((file) => ({ object, sentence: `${file} was not applied`, seq: null })),
  ];
}

/** Every declared action, and every other one that the window saw: those of doors that no mutation stands behind. */
async function actionRows(scope: CollectionScope): Promise<Row[]> {
  const seen = new Map<string, number>();
  const log = await scope.log();
  if (log !== null) {
    for await (const { entry } of log.entries()) {
      if (isWithin(entry, scope.window)) seen.set(entry.event.action, (seen.get(entry.event.action) ?? 0) + 1);
    }
  }
  const declared = auditActions(scope.supergraphSdl).map(({ action, mutation, controls }) => ({
    action,
    mutation: mutation as string | null,
    controls: [...controls],
    entries_in_window: seen.get(action) ?? 0,
  }));
  const known = new Set(declared.map(({ action }) => action));
  const others = [...seen]
    .filter(([action]) => !known.has(action))
    .map(([action, entries]) => ({ action, mutation: null, controls: [], entries_in_window: entries }));
  return [...declared, ...others].toSorted((left, right) => (left.action < right.action ? -1 : 1));
}
