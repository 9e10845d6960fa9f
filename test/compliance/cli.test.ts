import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureDatabase } from '#kit/database-setup.ts';
import { readContextKeys } from '#kit/key-files.ts';
import { readConfig } from '#schema/config.ts';
import { createProgress } from '../../compliance/progress.ts';
import { startEmbeddedStores, type EmbeddedStores } from '../../gateway/embedded.ts';
import { withClient } from '../support/postgres.ts';
import { programOf, tenon } from './run-tenon.ts';
import { makeFolder } from './verify-fixture.ts';

describe('the program', { timeout: 120_000 }, () => {
  it('lists all commands, those of a group, and how one is used', async () => {
    const [all, group, one] = await Promise.all([
      tenon(['--help']),
      tenon(['keys', '--help']),
      tenon(['evidence', 'build', '--help']),
    ]);
    for (const name of [
      'archive self-test',
      'doctor',
      'evidence build',
      'keys list',
      'keys rotate',
      'migrate',
      'tenant create',
      'tenant export',
      'usage import',
      'verify',
    ]) {
      expect(all.out).toContain(`\n  ${name.padEnd(18)} `);
    }
    expect(group.out).toContain('  keys rotate ');
    expect(group.out).not.toContain('  verify ');
    expect([all.code, group.code, one.code]).toEqual([0, 0, 0]);
    expect(one.out).toMatch(/^usage: tenon evidence build \[options\]\n/);
    expect(one.out).toMatch(/--tenant +Slug of the tenant \(required\)/);
  });

  it('ends with 2 and the list at an unknown command, and with the usage at wrong options', async () => {
    const [unknown, wrong, missing] = await Promise.all([
      tenon(['frobnicate']),
      tenon(['verify', 'x', '--frob', 'y']),
      tenon(['evidence', 'build', '--json']),
    ]);
    expect([unknown.code, unknown.out]).toEqual([2, '']);
    expect(unknown.err).toMatch(/^there is no command frobnicate\n/);
    expect(unknown.err).toContain('  verify ');
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain("Unknown option '--frob'");
    expect(wrong.err).toContain('usage: tenon verify');
    expect(missing.code).toBe(2);
    expect(JSON.parse(missing.out)).toMatchObject({
      error: { code: 'USAGE', message: expect.stringContaining('--tenant is missing') as string },
    });
  });

  it('says that the platform must be started first, and makes nothing in its folder', async () => {
    const home = makeFolder();
    const commands = [['tenant', 'list'], ['migrate'], ['keys', 'rotate'], ['archive', 'self-test']];
    const endings = await Promise.all(commands.map((words) => tenon(words, { TENON_HOME: home })));
    const sentence = `The platform in ${home} is not running, and its database runs only with it; start it first: npm start\n`;
    expect(endings).toEqual(commands.map(() => ({ code: 2, out: '', err: sentence })));
    // As a killed one left it.
    writeFileSync(join(home, 'postgres.json'), '{"port":1,"pid":4194304}');
    const doctor = await tenon(['doctor', '--json'], { TENON_HOME: home });
    expect(doctor.code).toBe(1);
    expect(JSON.parse(doctor.out)).toMatchObject({
      examinations: [
        { check: 'node', status: 'ok' },
        { check: 'platform', status: 'fail' },
      ],
    });
    expect(readdirSync(home)).toEqual(['postgres.json']);
  });

  it('names a setting that cannot be used', async () => {
    const { code, err } = await tenon(['migrate'], { PORT: 'high' });
    expect([code, err]).toEqual([2, 'PORT is "high", but takes a port number\n']);
  });
});

describe('a bar', () => {
  const shown = (isTTY: boolean) => {
    const written: string[] = [];
    const progress = createProgress('verifying', {
      isTTY,
      write: (text: string | Uint8Array) => written.push(String(text)) > 0,
    });
    progress.update(0.5);
    progress.end();
    return written.join('');
  };

  it('is drawn on a terminal and removed at the end, and nowhere else', () => {
    expect(shown(true)).toBe(`\rverifying [${'#'.repeat(15)}${'.'.repeat(15)}] 50 %\r\u001b[K`);
    expect(shown(false)).toBe('');
  });
});

describe('beside the embedded platform', { timeout: 120_000 }, () => {
  const home = makeFolder();
  const run = (...words: string[]) => tenon(words, { TENON_HOME: home });
  let stores: EmbeddedStores;

  beforeAll(async () => {
    const config = readConfig({ TENON_HOME: home });
    stores = await startEmbeddedStores(config, readContextKeys(config), () => undefined);
  }, 120_000);
  afterAll(() => stores.postgres.stop());

  const asOwner = (sql: string) =>
    withClient(stores.settingsFor('tenon_owner').cells[0]?.database ?? '', (client) => client.query(sql));

  it('keys init makes what is missing and leaves what is there, readable by the owner alone', async () => {
    const folder = join(makeFolder(), 'keys');
    const first = await tenon(['keys', 'init', '--folder', folder]);
    expect([first.code, first.out.match(/made/g)?.length]).toEqual([0, 3]);
    const before = readFileSync(join(folder, 'context-keys.json'), 'utf8');
    const second = await tenon(['keys', 'init', '--folder', folder, '--json']);
    expect(JSON.parse(second.out)).toMatchObject({ made: [] });
    expect(readFileSync(join(folder, 'context-keys.json'), 'utf8')).toBe(before);
    expect(statSync(join(folder, 'signing-key.pem')).mode & 0o777).toBe(0o600);
    // The keys of this platform, for what follows.
    writeFileSync(join(home, 'signing-key.pem'), readFileSync(join(folder, 'signing-key.pem')), { mode: 0o600 });
  });

  it('tenants are made and listed', async () => {
    const made = await run(
      'tenant',
      'create',
      'acme',
      '--name',
      'Acme',
      '--tier',
      'GROWTH',
      '--region',
      'eu',
      '--admin-email',
      'ann@acme.example',
      '--json',
    );
    expect(made.err).toBe('');
    expect(JSON.parse(made.out)).toMatchObject({ tenant: { slug: 'acme', cell: 'eu-1' } });
    const listed = await run('tenant', 'list');
    expect([listed.code, listed.out]).toEqual([
      0,
      expect.stringMatching(/^tnt_\w{26} {2}acme {2}GROWTH {2}eu {2}eu-1 {2}pool {2}\w+\n$/) as string,
    ]);
    const unknown = await run('tenant', 'show', 'nobody');
    expect([unknown.code, unknown.err]).toEqual([2, 'no tenant has the slug nobody\n']);
  });

  it('doctor finds everything well, and names the table that lost its wall', async () => {
    const well = await run('doctor', '--json');
    const { examinations } = JSON.parse(well.out) as {
      examinations: { check: string; subject: string; status: string }[];
    };
    expect(examinations.filter(({ status }) => !['ok', 'warn'].includes(status))).toEqual([]);
    const checks = new Set(examinations.map(({ check }) => check));
    expect([...checks].toSorted()).toEqual([
      'alarms',
      'archive',
      'catalog',
      'clock',
      'completeness',
      'connection',
      'context keys',
      'drift',
      'migrations',
      'moves',
      'node',
      'platform log',
      'postgresql',
      'roles',
      'store',
    ]);
    expect(well.code).toBe(0);
    await asOwner('alter table app.projects no force row level security');
    const ill = await run('doctor');
    await asOwner('alter table app.projects force row level security');
    expect(ill.code).toBe(1);
    expect(ill.out).toMatch(/^fail +catalog +eu-1 cell +app\.projects /m);
    expect(ill.out).toMatch(/^ok +catalog +us-1 cell /m);
  });

  it('doctor --isolation signs what its attacks found, and verify believes it', async () => {
    const file = join(home, 'isolation.note');
    const attacked = await run('doctor', '--isolation', '--json', '--out', file);
    const { stores: examined, note } = JSON.parse(attacked.out) as {
      stores: { store: string; checks: { check: string; verdict: string }[] }[];
      note: string;
    };
    const checks = examined.flatMap((store) => store.checks);
    expect(checks.filter(({ check, verdict }) => check !== 'version' && verdict !== 'pass')).toEqual([]);
    expect(checks.filter(({ check }) => check.startsWith('attack ')).length).toBeGreaterThan(100);
    const isOld = checks.some(({ check, verdict }) => check === 'version' && verdict === 'fail');
    expect(attacked.code).toBe(isOld ? 1 : 0);
    expect(readFileSync(file, 'utf8')).toBe(note);
    const { verifierKeys } = JSON.parse((await run('keys', 'list', '--json')).out) as { verifierKeys: string[] };
    const verified = await run('verify', file, '--key', verifierKeys[0] ?? '', '--json');
    expect(JSON.parse(verified.out)).toMatchObject({
      target: { kind: 'isolation' },
      integrity: { verdict: 'pass' },
      completeness: { verdict: isOld ? 'fail' : 'pass' },
    });
  });

  it('migrate brings empty databases up to date, once', async () => {
    for (const name of ['new_directory', 'new_cell', 'new_audit'])
      await ensureDatabase(stores.postgres.superuserUrl('postgres'), name);
    const { directoryUrl, cells } = stores.settingsFor('tenon_owner');
    const urlOf = (name: string) => directoryUrl.replace(/directory$/, name);
    const env = {
      TENON_PROFILE: 'production',
      DATABASE_URL: urlOf('new_directory'),
      CELLS: JSON.stringify([{ ...cells[0], database: urlOf('new_cell'), auditDatabase: urlOf('new_audit') }]),
      TENON_CONTEXT_KEY_FILE: join(home, 'context-keys.json'),
      TENON_DATA_KEY_FILE: join(home, 'data-keys.json'),
      TENON_SIGNING_KEY_FILE: join(home, 'signing-key.pem'),
    };
    const first = JSON.parse((await tenon(['migrate', '--json'], env)).out) as {
      databases: { database: string; applied: string[] }[];
    };
    expect(first.databases.map(({ database }) => database)).toEqual(['directory', 'eu-1 cell', 'eu-1 audit']);
    expect(first.databases[0]?.applied).toContain('directory/0001-tenants.sql');
    const { applied = [] } = first.databases[1] ?? {};
    expect([...new Set(applied.map((file) => file.split('/')[0]))]).toEqual(['tenancy', 'cell']);
    const second = await tenon(['migrate'], env);
    expect([second.code, second.out]).toEqual([
      0,
      'directory    is up to date\neu-1 cell    is up to date\neu-1 audit   is up to date\n',
    ]);
  });

  it('keys rotate adds a key that every database believes, and keeps the older', async () => {
    const before = readContextKeys(readConfig({ TENON_HOME: home }));
    const rotated = JSON.parse((await run('keys', 'rotate', '--json')).out) as {
      contextKeys: { signing: string; kids: string[] };
      databases: string[];
    };
    expect(rotated.databases).toEqual(['eu-1 cell', 'eu-1 audit', 'us-1 cell', 'us-1 audit']);
    expect(rotated.contextKeys.kids).toEqual([rotated.contextKeys.signing, before.signing.kid]);
    expect(rotated.contextKeys.signing).not.toBe(before.signing.kid);
    const listed = await run('keys', 'list');
    expect(listed.out).toContain(`${rotated.contextKeys.signing}  signs\n`);
    expect(listed.out).toContain(`${before.signing.kid}  verifies\n`);
    for (const { secret } of before.all) expect(listed.out).not.toContain(secret.toString('hex'));
    expect(existsSync(join(home, 'context-keys.json.new'))).toBe(false);
    // The new key signs what the database is asked with.
    expect((await run('tenant', 'show', 'acme')).out).toMatch(/^name +Acme$/m);
  });

  it('archive self-test sees every promise kept, and one that cannot be', async () => {
    const good = await run('archive', 'self-test');
    expect([good.code, good.out.match(/^ok/gm)?.length, good.out.match(/^FAIL/gm)]).toEqual([0, 14, null]);
    const blocked = join(makeFolder(), 'file');
    writeFileSync(blocked, '');
    const bad = await tenon(['archive', 'self-test'], { TENON_HOME: home, ARCHIVE_URL: `file://${blocked}/archive` });
    expect(bad.code).toBe(1);
    expect(bad.out).toMatch(/^FAIL eu-1 +takes an object under retention: /m);
  });

  it('the worker seals, evidence is built and verified, and the worker ends with its parent', async () => {
    const { directoryUrl, cells } = stores.settingsFor('tenon_worker');
    const worker = fork(programOf('main.ts'), {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: {
        PATH: process.env['PATH'] ?? '',
        TENON_HOME: home,
        TENON_PROFILE: 'production',
        TENON_SEAL_INTERVAL_MS: '100',
        DATABASE_URL: directoryUrl,
        CELLS: JSON.stringify(cells),
        TENON_CONTEXT_KEY_FILE: join(home, 'context-keys.json'),
        TENON_DATA_KEY_FILE: join(home, 'data-keys.json'),
        TENON_SIGNING_KEY_FILE: join(home, 'signing-key.pem'),
      },
    });
    let said = '';
    worker.stderr?.on('data', (piece: Buffer) => (said += piece.toString()));
    const ended = once(worker, 'exit');
    await expect.poll(() => sealedSize(stores), { timeout: 60_000, interval: 100 }).toBeGreaterThan(0);
    const out = join(makeFolder(), 'packs');
    mkdirSync(out);
    const words = [
      'evidence',
      'build',
      '--tenant',
      'acme',
      '--kind',
      'soc2',
      '--from',
      '2026-01-01',
      '--to',
      '2100-01-01',
      '--out',
      out,
    ];
    const built = JSON.parse((await run(...words, '--json')).out) as { file: string; sizeBytes: number };
    expect(readdirSync(out)).toEqual(['evidence-acme-soc2-2026-01-01_2100-01-01.zip']);
    expect(statSync(built.file).size).toBe(built.sizeBytes);
    const {
      verifierKeys: [key = ''],
    } = JSON.parse((await run('keys', 'list', '--json')).out) as { verifierKeys: string[] };
    const verified = await tenon(['verify', built.file, '--key', key]);
    expect([verified.code, verified.out.split('\n').slice(0, 2)]).toEqual([
      0,
      ['integrity    PASS', 'completeness PASS'],
    ]);
    worker.disconnect();
    expect([(await ended)[0], said.includes('"level":"error"')]).toEqual([0, false]);
  });

  it('evidence build refuses what it cannot build', async () => {
    const words = ['evidence', 'build', '--from', '2026-01-01', '--to', '2026-02-01', '--out', makeFolder()];
    const endings = await Promise.all([
      run(...words, '--tenant', 'nobody', '--kind', 'soc2'),
      run(...words, '--tenant', 'acme', '--kind', 'iso'),
      run(...words, '--tenant', 'acme', '--kind', 'gdpr-access', '--subject', 'usr_01m82tfbdce008jarsk2sjytah'),
    ]);
    expect(endings.map(({ code, err }) => [code, err])).toEqual([
      [2, 'no tenant has the slug nobody\n'],
      [2, '--kind takes soc2, gdpr_access or tenant_export\n'],
      [2, 'no such person in this tenant\n'],
    ]);
  });
});

async function sealedSize(stores: EmbeddedStores): Promise<number> {
  const { rows } = await withClient(stores.settingsFor('tenon_worker').cells[0]?.auditDatabase ?? '', (client) =>
    client.query<{ size: string }>(
      'select coalesce(sum(sealed_size), 0) as size from log_heads where size = sealed_size',
    ),
  );
  return Number(rows[0]?.size);
}
