import fc from 'fast-check';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { openDatabases } from '#kit/database.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { TenonError } from '#schema/errors.ts';
import { mintId, uuidOf, uuidv7, type Id } from '#schema/ids.ts';
import { readConfig } from '#schema/config.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS } from '../../support/databases.ts';
import { tenants } from '../../../subgraphs/tenants/index.ts';
import {
  cancelTenant,
  confirmTrial,
  reportPayment,
  resumeTenant,
  withdrawConfirmation,
} from '../../../subgraphs/tenants/life.ts';
import { lifeTurn, live } from '../../../subgraphs/tenants/life-clock.ts';
import { notifyJob } from '../../../subgraphs/tenants/life-notices.ts';
import { TRANSITIONS } from '../../../subgraphs/tenants/lifecycle.ts';
import { contextIn, systemOrigin } from '../../../subgraphs/tenants/operator.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { changeTenantState } from '../../../subgraphs/tenants/service.ts';
import { findTenant, forgetTenant } from '#kit/directory.ts';
import { inputOf, openTenants, ORIGIN } from './tenants-platform.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const world = await openTenants();
const { platform: app, stores } = world;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const RUNS = 30;
const MOST_COMMANDS = 50;

/** The worker's role with a mailbox of its own: what the clock does must not need more. */
const worker: Platform = {
  ...app,
  config: readConfig({ TENON_HOME: temporaryFolder('life') }),
  databases: await openDatabases({
    ...stores.settingsFor('tenon_worker', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: tenants.entities,
    poolSize: 4,
  }),
};
afterAll(() => worker.databases.close());

/** As superuser, over connections that are kept: a life looks at itself some hundred times. */
const clients = new Map(
  (['eu-1', 'directory'] as const).map((store) => [
    store,
    new pg.Pool({ connectionString: stores.url(store), max: 1 }),
  ]),
);
afterAll(async () => void (await Promise.all([...clients.values()].map((pool) => pool.end()))));
async function peek<Row extends object>(
  store: 'eu-1' | 'directory',
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  return (await clients.get(store)?.query<Row>(text, [...values]))?.rows ?? [];
}

type Command =
  | { readonly does: 'wait'; readonly hours: number; readonly mail: boolean }
  | { readonly does: 'confirm' | 'withdraw' | 'miss' | 'pay' | 'cancel' | 'resume' | 'hold' | 'release' | 'wipe' }
  | { readonly does: 'operator'; readonly to: (typeof OPERATOR_STEPS)[number] };

const OPERATOR_STEPS = [
  'active',
  'suspended',
  'cancelled',
  'soft_deleted',
  'past_due',
  'read_only',
  'erasing',
  'erased',
] as const;
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      does: fc.constant('wait' as const),
      hours: fc.oneof(fc.integer({ min: 1, max: 48 }), fc.integer({ min: 24, max: 60 * 24 })),
      mail: fc.boolean(),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      does: fc.constantFrom('confirm', 'withdraw', 'miss', 'pay', 'cancel', 'resume', 'hold', 'release', 'wipe'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constant('operator' as const), to: fc.constantFrom(...OPERATOR_STEPS) }),
  },
);

describe('years of life under a clock of our own', () => {
  it(
    'go by the table alone, never too early, never charged in silence, each step on record',
    { timeout: 300_000 },
    async () => {
      let lives = 0;
      const steps = new Set<string>();
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom('trial', 'active'),
          fc.array(command, { minLength: 20, maxLength: MOST_COMMANDS }),
          async (first, commands) => {
            lives += 1;
            const life = await Life.begin(`life-${lives}`, first);
            for (const each of commands) await life.obey(each);
            await life.check();
            for (const { step } of await life.steps()) steps.add(step);
          },
        ),
        { numRuns: RUNS, endOnFailure: true },
      );
      // Lives that all stand still would prove nothing.
      expect(steps.size).toBeGreaterThan(4);
    },
  );

  it(
    'lead a tenant who never pays from her trial to the end of her data, on the days that were promised',
    { timeout: 60_000 },
    async () => {
      const life = await Life.begin('never-pays');
      await life.run([
        { does: 'confirm' },
        ...daily(17),
        { does: 'miss' },
        ...daily(130),
        { does: 'wipe' },
        ...daily(1),
      ]);
      const steps = await life.steps();
      expect(steps.map(({ step, day }) => [step, Math.round(day)])).toEqual([
        ['convert', 15],
        ['miss_payment', 17],
        ['restrict', 24],
        ['pause', 47],
        ['delete', 107],
        ['erase', 137],
        ['finish_erasure', 148],
      ]);
      await life.check();
    },
  );

  it('end a trial that nobody confirmed read-only, without an invoice, and a late confirmation makes it active', async () => {
    const life = await Life.begin('late');
    await life.run(daily(20));
    expect((await life.steps()).map(({ step }) => step)).toEqual(['end_trial']);
    expect((await life.notices()).map(({ notice }) => notice)).toEqual([
      'trial_reminder',
      'trial_reminder',
      'trial_reminder',
      'end_trial',
    ]);
    await life.run([{ does: 'confirm' }]);
    expect((await life.steps()).map(({ step }) => step)).toEqual(['end_trial', 'pay']);
  });

  it('stop before the end while a legal hold stands', async () => {
    const life = await Life.begin('held');
    await life.run([{ does: 'cancel' }, { does: 'hold' }, ...daily(100)]);
    expect(await life.state()).toBe('soft_deleted');
    await life.run([{ does: 'release' }, ...daily(1)]);
    expect(await life.state()).toBe('erasing');
    await life.check();
  });
});

it('looks once a day at whom time leads anywhere, each in a job of her own', async () => {
  const [active, trial] = [await Life.begin('turn-active'), await Life.begin('turn-trial')];
  await active.run([{ does: 'confirm' }, { does: 'operator', to: 'active' }, ...daily(1)]);
  await peek('eu-1', `update tenants set state = 'erased' where slug = 'turn-active'`);
  await peek('directory', `update tenants set state = 'erased' where slug = 'turn-active'`);
  const turn = { platform: worker, cell: 'eu-1', signal: new AbortController().signal };
  for (let day = 0; day < 2; day += 1) await lifeTurn.run(turn);
  const jobsOf = ({ uuid }: Life) =>
    peek('eu-1', `select from jobs where tenant_id = $1 and kind = 'tenants.live'`, [uuid]);
  expect(await jobsOf(trial)).toHaveLength(1);
  expect(await jobsOf(active)).toEqual([]);
});

function daily(count: number): Command[] {
  return Array.from({ length: count }, () => ({ does: 'wait', hours: 24, mail: true }));
}

interface Step {
  readonly from: string;
  readonly to: string;
  readonly step: string;
  readonly at: number;
  /** Days after the first moment. */
  readonly day: number;
  readonly actor: string;
}

/** One tenant, with a clock that she shares with nobody. */
class Life {
  readonly #begun: number;
  #now: number;
  /** From when to when a hold stood. */
  readonly #holds: { from: number; to: number }[] = [];

  readonly uuid: string;
  readonly context: TenantContext;
  /** Signed in once, since no credential lasts as long as a life. */
  readonly operator: RequestContext;

  private constructor(
    readonly first: 'trial' | 'active',
    { context, operator }: { context: TenantContext; operator: RequestContext },
    begun: Date,
  ) {
    this.context = context;
    this.operator = operator;
    this.uuid = uuidOf('tnt', context.tenant);
    this.#begun = begun.getTime();
    this.#now = this.#begun;
  }

  static async begin(slug: string, first: 'trial' | 'active' = 'trial'): Promise<Life> {
    const now = new Date('2026-06-01T08:00:00Z');
    world.setNow(now.toISOString());
    const { context } = await provisionTenant(app, inputOf(slug, { state: first }), ORIGIN);
    return new Life(first, { context, operator: await world.operator() }, now);
  }

  async run(commands: readonly Command[]): Promise<void> {
    for (const each of commands) await this.obey(each);
  }

  async obey(each: Command): Promise<void> {
    this.#now += each.does === 'wait' ? each.hours * HOUR_MS : 60_000;
    world.setNow(new Date(this.#now).toISOString());
    const before = await this.state();
    try {
      await this.#do(each);
    } catch (error) {
      if (!(error instanceof TenonError && ['INVALID_TRANSITION', 'CONFLICT'].includes(error.code))) throw error;
      expect(await this.state(), 'a step that was refused changed nothing').toBe(before);
    }
    const [place] = await peek<{ state: string }>('directory', 'select state from tenants where id = $1', [this.uuid]);
    expect(place?.state, 'the copy of the directory follows').toBe(await this.state());
  }

  async #do(each: Command): Promise<void> {
    const user = await this.#request(app, { type: 'user', id: mintId('usr'), ip: null, ua: null });
    const own = { confirm: confirmTrial, withdraw: withdrawConfirmation, cancel: cancelTenant, resume: resumeTenant };
    switch (each.does) {
      case 'wait':
        await live(await this.#request(worker, systemOrigin('life', mintId('req')).actor));
        if (each.mail) await this.#sendMails();
        return;
      case 'miss':
      case 'pay':
        await reportPayment(this.operator, {
          tenantId: this.context.tenant,
          outcome: each.does === 'miss' ? 'missed' : 'paid',
          reference: 'INV-1',
        });
        return;
      case 'hold':
        this.#holds.push({ from: this.#now, to: Infinity });
        await peek(
          'eu-1',
          `insert into legal_holds (tenant_id, id, reason, placed_by, placed_at) values ($1, $2, 'r', 'a', now())`,
          [this.uuid, uuidv7()],
        );
        return;
      case 'release':
        for (const hold of this.#holds) hold.to = Math.min(hold.to, this.#now);
        await peek(
          'eu-1',
          `update legal_holds set released_at = now(), released_by = 'b' where tenant_id = $1 and released_at is null`,
          [this.uuid],
        );
        return;
      case 'wipe':
        // As whoever erases her from every store says so at its end.
        if ((await this.state()) !== 'erasing') return;
        await peek('eu-1', 'update tenant_contracts set erased_at = now() where tenant_id = $1', [this.uuid]);
        return;
      case 'operator':
        await changeTenantState(this.operator, { tenantId: this.context.tenant, to: each.to });
        return;
      default:
        await own[each.does](user);
    }
  }

  async #sendMails(): Promise<void> {
    const jobs = await peek<{ id: string; input: { notice: string; about: string } }>(
      'eu-1',
      `update jobs set state = 'succeeded' where tenant_id = $1 and kind = 'tenants.notify' and state = 'queued' returning id, input`,
      [this.uuid],
    );
    if (jobs.length === 0) return;
    const ctx = await this.#request(worker, { type: 'system', id: 'life', ip: null, ua: null });
    for (const { input } of jobs) await notifyJob.run(ctx, notifyJob.check(input), async () => undefined);
  }

  async #request(platform: Platform, actor: TenantContext['actor']): Promise<RequestContext> {
    const id: Id<'tnt'> = this.context.tenant;
    forgetTenant(platform.databases, id);
    const place = await findTenant(platform.databases, id);
    if (place === null) throw new Error('the tenant is in the directory');
    return requestContext(platform, contextIn(place, { actor, requestId: mintId('req'), sessionId: null }));
  }

  async state(): Promise<string> {
    const [row] = await peek<{ state: string }>('eu-1', 'select state from tenants where tenant_id = $1', [this.uuid]);
    return row?.state ?? 'none';
  }

  async steps(): Promise<Step[]> {
    return (await this.#events('tenant.change_state')).map(({ ts, actor, context }) => {
      const at = Date.parse(ts);
      const { from, to, step } = context as { from: string; to: string; step: string };
      return { from, to, step, at, day: (at - this.#begun) / DAY_MS, actor: actor.id };
    });
  }

  async notices(): Promise<{ notice: string; sent_at: Date | null }[]> {
    return peek('eu-1', 'select notice, sent_at from tenant_notices where tenant_id = $1 order by asked_at, about', [
      this.uuid,
    ]);
  }

  /** What must be true of every life, by numbers of this test's own. */
  async check(): Promise<void> {
    const steps = await this.steps();
    let [state, since]: [string, number] = [this.first, this.#begun];
    for (const { from, to, step, at } of steps) {
      expect(from, 'each step is on record').toBe(state);
      expect(TRANSITIONS.some((known) => known.from === from && known.to === to && known.action === step)).toBe(true);
      const leastDays = { restrict: 7, pause: 23, erase: 30 }[step] ?? 0;
      expect((at - since) / DAY_MS, `${step} after its days of grace`).toBeGreaterThanOrEqual(leastDays);
      if (step === 'erase') expect(this.#holds.some((hold) => hold.from <= at && at < hold.to)).toBe(false);
      [state, since] = [to, at];
    }
    expect(await this.state()).toBe(state);
    await this.#checkCharges(steps);
  }

  /** Whoever became a paying customer by the clock alone had agreed, and was told a day before. */
  async #checkCharges(steps: readonly Step[]): Promise<void> {
    const said = [
      ...(await this.#events('tenant.confirm_trial')),
      ...(await this.#events('tenant.withdraw_confirmation')),
    ]
      .map(({ action, ts }) => ({ action, at: Date.parse(ts) }))
      .toSorted((one, other) => one.at - other.at);
    const told = (await this.notices())
      .filter(({ notice }) => notice === 'conversion')
      .map(({ sent_at }) => sent_at?.getTime());
    for (const { to, step, at, actor } of steps.filter(({ from }) => from === 'trial')) {
      if (to !== 'active') continue;
      const agreed = said.findLast((one) => one.at <= at);
      expect(agreed?.action, 'nobody pays who did not agree').toBe('tenant.confirm_trial');
      if (actor !== 'life' || step !== 'convert') continue;
      expect(at).toBeGreaterThanOrEqual(this.#begun + 15 * DAY_MS);
      expect(told.some((sentAt) => sentAt !== undefined && sentAt >= (agreed?.at ?? 0) && sentAt <= at - DAY_MS)).toBe(
        true,
      );
    }
  }

  async #events(action: string): Promise<{ action: string; ts: string; actor: { id: string }; context: unknown }[]> {
    const rows = await peek<{ event: string }>(
      'eu-1',
      'select event from outbox where tenant_id = $1 order by position',
      [this.uuid],
    );
    return rows.map(({ event }) => JSON.parse(event)).filter((event) => event.action === action);
  }
}
