import { afterAll } from 'vitest';
import { inTenant, openDatabases, type Databases } from '#kit/database.ts';
import { enqueueJob, type JobOrder } from '#kit/jobs/enqueue.ts';
import type { JobKind } from '#kit/jobs/job-kind.ts';
import { startJobRunner, type JobRunner, type JobRunnerOptions } from '#kit/jobs/runner.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { subgraphs } from '#subgraphs';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { systemOrigin } from '../../../subgraphs/tenants/operator.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../../support/databases.ts';
import { withClient } from '../../support/postgres.ts';

/** A row of `jobs` as the superuser sees it. */
export interface JobRow {
  readonly id: string;
  readonly state: string;
  readonly attempts: number;
  readonly error_code: string | null;
  readonly error: string | null;
  readonly progress_done: string;
  readonly progress_total: string | null;
  readonly runner: string | null;
}

/** Stores with tenants who ask for jobs, and whoever runs them. */
export interface JobWorld {
  readonly stores: TestStores;
  /** In the role of the application. */
  readonly platform: Platform;
  /** Makes a tenant in the cell eu-1 and returns a request of a user of hers. */
  tenant(slug: string): Promise<RequestContext>;
  ask<Input extends JsonValue>(ctx: RequestContext, order: JobOrder<Input>): Promise<Id<'job'>>;
  /** Starts a process that runs jobs, in this one; it is stopped when the file ends. */
  start(kinds: readonly JobKind[], options?: Partial<JobRunnerOptions>): Promise<JobRunner>;
  row(job: string): Promise<JobRow>;
  /** As superuser, whom no row security binds. */
  peek<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Has the queue hand out at once what waits for its next attempt. */
  hurry(): Promise<void>;
}

/** Opens it while the test file is collected; everything is closed when the file ends. */
export async function openJobs(): Promise<JobWorld> {
  const stores = await makeStores();
  const platform = await platformFor(stores, 'tenon_app');
  const peek: JobWorld['peek'] = (text, values = []) =>
    withClient(stores.url('eu-1'), async (client) => {
      await client.query('set search_path = app');
      return (await client.query(text, [...values])).rows;
    });
  return {
    stores,
    platform,
    peek,
    tenant: async (slug) => {
      const person = { adminEmail: `ada@${slug}.example`, adminName: 'Ada' };
      const input = { slug, name: slug, tier: 'GROWTH', region: 'eu', ...person } as const;
      const made = await provisionTenant(platform, input, systemOrigin('test', mintId('req')));
      const actor = { type: 'user', id: made.adminUserId, ip: '203.0.113.5', ua: 'test' } as const;
      return requestContext(platform, { ...made.context, actor, requestId: mintId('req') });
    },
    ask: (ctx, order) => inTenant(ctx, (tx) => enqueueJob(tx, ctx, order)),
    start: async (kinds, options = {}) => {
      const runner = startJobRunner({
        platform: await platformFor(stores, 'tenon_worker'),
        kinds,
        recoveryMs: 100,
        ...options,
      });
      stoppers.push(() => runner.stop());
      return runner;
    },
    row: async (job) => {
      const [row] = await peek<JobRow>('select * from jobs where id = $1', [uuidOf('job', job)]);
      if (row === undefined) throw new Error('no such job');
      return row;
    },
    hurry: async () => {
      await peek(`update graphile_worker._private_jobs set run_at = now() where locked_at is null and run_at > now()`);
    },
  };
}

const stoppers: (() => Promise<void>)[] = [];

afterAll(async () => {
  for (const stop of stoppers.splice(0).toReversed()) await stop();
});

/** Opens the stores in a role, as a process of that role does. */
export async function platformFor(stores: TestStores, role: 'tenon_app' | 'tenon_worker'): Promise<Platform> {
  const databases: Databases = await openDatabases({
    ...stores.settingsFor(role, 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: subgraphs.flatMap(({ entities }) => entities),
    poolSize: 6,
  });
  stoppers.push(() => databases.close());
  return { config: readConfig({}), databases, clock: () => new Date(), publicUrl: 'http://tenon.test' };
}

/** Returns a kind of job with what a test does not care about filled in. */
export function kindOf<Input extends JsonValue>(
  kind: Pick<JobKind<Input>, 'name' | 'run'> & Partial<JobKind<Input>>,
): JobKind<Input> {
  return { lane: 'quick', attempts: 3, timeoutMs: 60_000, check: (input) => input as Input, ...kind };
}

/** A promise that somebody else settles. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}
