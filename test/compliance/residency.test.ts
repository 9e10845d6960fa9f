import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { mailOfCell } from '#kit/mail.ts';
import { requestContext } from '#kit/request-context.ts';
import { TENANT_ATTRIBUTES } from '#kit/tenant-trace.ts';
import { readConfig } from '#schema/config.ts';
import { mintId } from '#schema/ids.ts';
import { residencyOf, type ResidencyEntry } from '#schema/residency.ts';
import { TABLE_CLASSES } from '#schema/stored-data.ts';
import { residencyCommand } from '../../compliance/commands-residency.ts';
import { ask, codeOf, inputOf, ORIGIN, openTenants, requestOf } from '../subgraphs/tenants/tenants-platform.ts';
import { provisionTenant } from '../../subgraphs/tenants/provisioning.ts';
import { contextIn } from '../../subgraphs/tenants/operator.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import { withClient } from '../support/postgres.ts';

const { platform, stores } = await openTenants();
const [eu] = stores.settingsFor('tenon_app', 's3://archive').cells;
if (eu === undefined) throw new Error('there is a cell');

describe('the ledger', () => {
  it.each([
    ['directory', 'directory'],
    ['cell', 'eu-1'],
    ['audit', 'eu-1 audit'],
  ] as const)('names every table of the %s database, and none that is not there', async (kind, store) => {
    const { rows } = await withClient(stores.url(store), (client) =>
      client.query<{ name: string }>(
        `select case when n.nspname = 'app' then c.relname else n.nspname || '.' || c.relname end as name
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'p', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`,
      ),
    );
    expect(Object.keys(TABLE_CLASSES[kind]).toSorted()).toEqual(rows.map(({ name }) => name).toSorted());
  });

  it('says of the directory what it holds: these columns of tenants, and no other', async () => {
    const { rows } = await withClient(stores.url('directory'), (client) =>
      client.query<{ name: string }>(
        `select table_name || '.' || column_name as name from information_schema.columns
          where table_schema = 'app' and table_name in ('tenants', 'email_domains', 'sign_up_attempts') order by 1`,
      ),
    );
    expect(rows.map(({ name }) => name)).toEqual([
      'email_domains.domain',
      'email_domains.tenant_id',
      'email_domains.verified_at',
      'sign_up_attempts.attempts',
      'sign_up_attempts.day',
      'sign_up_attempts.subject',
      'tenants.cell',
      'tenants.created_at',
      'tenants.erased_at',
      'tenants.id',
      'tenants.placement',
      'tenants.region',
      'tenants.slug',
      'tenants.state',
      'tenants.store',
      'tenants.tier',
      'tenants.version',
    ]);
  });

  it('says of traces what they hold of a tenant: her id, tier and region', () => {
    expect(TENANT_ATTRIBUTES).toEqual(['tenant.id', 'tenant.tier', 'tenant.region']);
  });

  it('lists what is set up and no more', () => {
    const none = readConfig({});
    const places = (entries: readonly ResidencyEntry[]) => entries.map(({ place }) => place);
    const embedded = places(residencyOf({ ...none, cell: eu, directoryUrl: null }));
    expect(embedded).toContain('machine');
    for (const place of ['budget_store', 'traces', 'time_stamps', 'witnesses']) expect(embedded).not.toContain(place);
    const whole = residencyOf({
      ...none,
      profile: 'production',
      redisUrl: 'redis://:hunter2@redis.test:6379',
      otlpEndpoint: 'http://collector.test:4318',
      tsaUrl: 'https://tsa.test',
      witnesses: [{ verifierKey: 'w', url: 'https://witness.test' }],
      cell: eu,
      directoryUrl: 'postgres://tenon_app:hunter2@directory.test/directory',
    });
    expect(places(whole)).not.toContain('machine');
    expect(whole.map(({ at }) => at)).toEqual(
      expect.arrayContaining(['redis.test:6379', 'collector.test:4318', 'tsa.test', 'witness.test', 'directory.test']),
    );
    expect(JSON.stringify(whole)).not.toContain('hunter2');
    for (const { place, why, holds } of whole) {
      expect(why.length, place).toBeGreaterThan(30);
      expect(holds.length, place).toBeGreaterThan(0);
    }
  });

  it('keeps mail in the region where the cell has a server of its own, and so does the platform', () => {
    const config = readConfig({ MAIL_URL: 'smtp://shared.test' });
    const mail = (cell: typeof eu) =>
      residencyOf({ ...config, cell, directoryUrl: null }).find(({ place }) => place === 'mail');
    const own = { ...eu, mail: 'smtp://own.test' };
    expect(mail(eu)).toMatchObject({ residency: 'leaves', at: 'shared.test' });
    expect(mail(own)).toMatchObject({ residency: 'stays', at: 'own.test' });
    const databases = { ...platform.databases, cells: [own, { ...eu, name: 'eu-2' }] };
    expect(mailOfCell({ config, databases }, 'eu-1').mailUrl).toBe('smtp://own.test');
    expect(mailOfCell({ config, databases }, 'eu-2').mailUrl).toBe('smtp://shared.test');
  });
});

describe('tenon residency', () => {
  it('prints the ledger of every cell of the settings, with hosts and without a password', async () => {
    const { directoryUrl, cells } = stores.settingsFor('tenon_app', 's3://archive');
    onTestFinished(() => void vi.unstubAllEnvs());
    vi.stubEnv('TENON_PROFILE', 'production');
    vi.stubEnv('DATABASE_URL', directoryUrl);
    vi.stubEnv('CELLS', JSON.stringify(cells));
    for (const name of ['TENON_SIGNING_KEY_FILE', 'TENON_CONTEXT_KEY_FILE', 'TENON_DATA_KEY_FILE'])
      vi.stubEnv(name, '/nowhere');
    const run = async (json: boolean) => {
      const lines: string[] = [];
      const surroundings = { json, write: (line: string) => void lines.push(line), platform: async () => platform };
      expect(await residencyCommand.run(surroundings, { positionals: [], options: {}, lists: {} })).toBe(0);
      return lines.join('\n');
    };
    const text = await run(false);
    expect(text).toMatch(/^eu-1 in eu\n {2}stays {3}tenant_database {3}people, /);
    expect(text).toContain('us-1 in us');
    const ledger = JSON.parse(await run(true)) as { cells: { cell: string; places: ResidencyEntry[] }[] };
    expect(ledger.cells.map(({ cell }) => cell)).toEqual(['eu-1', 'us-1']);
    expect(ledger.cells[1]?.places.find(({ place }) => place === 'archive')?.at).toBe('archive/us-1 (us-east-1)');
    expect(text + JSON.stringify(ledger)).not.toMatch(/:app@|tenon_app/);
  });
});

describe('Tenant.residency', () => {
  it('shows a tenant her own ledger, without hosts, and to whom has no right nothing', async () => {
    await provisionTenant(platform, inputOf('acme'), ORIGIN);
    const place = await findTenantBySlug(platform.databases, 'acme');
    if (place === null) throw new Error('she was just made');
    const ctx = requestOf(platform, contextIn(place, ORIGIN), { scopes: ['tenant:read'] });
    const document = `{ tenant { residency { region cell places { place residency holds { name about } why } } } }`;
    const answer = await ask(ctx, document);
    expect(codeOf(answer)).toBeNull();
    const { residency } = (answer.data as { tenant: { residency: { region: string; places: { place: string }[] } } })
      .tenant;
    expect(residency).toMatchObject({ region: 'eu', cell: 'eu-1' });
    expect(residency.places).toContainEqual(
      expect.objectContaining({ place: 'audit_database', residency: 'STAYS', holds: expect.any(Array) }),
    );
    expect(JSON.stringify(residency)).not.toContain(new URL(eu.database).host);
    const refused = await ask(
      requestContext(platform, { ...ctx.tenant, scopes: [], requestId: mintId('req') }),
      document,
    );
    expect(codeOf(refused)).toBe('FORBIDDEN');
  });
});
