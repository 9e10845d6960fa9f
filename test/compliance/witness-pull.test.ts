import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { listen, newHttpServer } from '#kit/http-server.ts';
import { mountRoutes } from '#kit/mount-routes.ts';
import { requestContext } from '#kit/request-context.ts';
import { parseCosignerKey, verifyCosignatures } from '#schema/cosignature.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { signRotation } from '#schema/key-rotation.ts';
import { parseNote, parseVerifierKey, signNote, verifyNote } from '#schema/signed-note.ts';
import { audit } from '../../subgraphs/audit/index.ts';
import { deploymentAt, type Deployment } from '../../compliance/witness/deployment.ts';
import { pull, type PullFault, type PullResult } from '../../compliance/witness/pull.ts';
import { beginLog, type WrittenLog } from '../support/audit-log.ts';
import { openAudit } from '../subgraphs/audit/audit-platform.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { tenon } from './run-tenon.ts';
import { emptyFolder, newSigner, openTestWitness, testLog, type TestWitness } from './witness-fixture.ts';

const TOKEN = 'tnk_of_an_auditor';
const trusted = parseVerifierKey(TEST_SIGNING_KEY.verifierKey);
const house = await openAudit();
const { ctx } = await house.addTenant('acme');
const { tenant } = ctx.tenant;
const url = await serveLog();
const real = deploymentAt({ url, token: TOKEN });

let own: TestWitness;
let log: WrittenLog;

beforeEach(async () => {
  own = await openTestWitness();
  log = await rewrite(0);
});

const look = (deployment: Deployment = real, keys = [trusted]): Promise<PullResult> =>
  pull({ deployment, witness: own.witness, state: own.state, keys });

/** The doors of the audit subgraph for one token, on a port. */
async function serveLog(): Promise<string> {
  const server = newHttpServer(house.platform);
  mountRoutes(server, audit.routes ?? [], {
    platform: house.platform,
    contextOf: async (req) =>
      req.headers.authorization === `Bearer ${TOKEN}`
        ? requestContext(house.platform, ctx.tenant)
        : fail('UNAUTHENTICATED', 'not the token'),
  });
  server.get('/.well-known/tenon/keys', () => ({
    keys: [{ verifierKey: TEST_SIGNING_KEY.verifierKey }],
    rotations: [],
  }));
  afterAll(() => server.close());
  return listen(server, house.platform.config);
}

/** Removes the log, as somebody who owns the database can, and writes and signs another one of that many entries. */
async function rewrite(count: number): Promise<WrittenLog> {
  await withClient(house.stores.url('eu-1 audit'), async (client) => {
    for (const table of ['log_entries', 'log_tiles', 'log_heads', 'segments'])
      await client.query(`delete from app.${table} where tenant_id = $1`, [uuidOf('tnt', tenant)]);
  });
  const written = beginLog({ url: house.stores.url('eu-1 audit', 'tenon_worker'), tenant });
  if (count > 0) await seal(written, count);
  return written;
}

async function seal(written: WrittenLog, count: number): Promise<void> {
  await written.append(Array.from({ length: count }, () => ({})));
  await written.seal();
}

function faultOf(result: PullResult, kind: PullFault['kind']): PullFault {
  return 'evidence' in result && result.kind === kind ? result : expect.fail(`no ${kind}: ${JSON.stringify(result)}`);
}

const evidenceOf = ({ evidence }: PullFault, name: string): string => readFileSync(join(evidence, name), 'utf8');
const textOf = (note: string): string => parseNote(note).text;

describe('a witness of the customer, over the own log of a real deployment', () => {
  test('follows it while it grows, and keeps a cosigned checkpoint that verifies for both', async () => {
    expect(await look()).toEqual({ kind: 'empty' });
    await seal(log, 300);
    expect(await look()).toMatchObject({ kind: 'cosigned', origin: log.origin, before: 0, size: 300 });
    expect(await look()).toMatchObject({ kind: 'unchanged', size: 300 });
    await seal(log, 290);
    const result = await look();
    expect(result).toMatchObject({ kind: 'cosigned', before: 300, size: 590 });
    const note = readFileSync('file' in result ? result.file : '', 'utf8');
    expect(verifyNote(note, [log.verifier]).signers).toHaveLength(1);
    const witness = parseCosignerKey(own.witness.verifierKey);
    expect(verifyCosignatures(note, [witness]).cosignatures).toHaveLength(1);
  });

  test('shows that the newest entries were cut off', async () => {
    await seal(log, 20);
    const before = log.entries.length;
    await seal(log, 10);
    await look();
    await withClient(house.stores.url('eu-1 audit'), async (client) => {
      await client.query('delete from app.segments where tenant_id = $1 and number = 1', [uuidOf('tnt', tenant)]);
    });
    const fault = faultOf(await look(), 'truncated');
    expect(fault.sentence).toBe(`the log of ${log.origin} had 30 entries and now has ${before}`);
    expect(textOf(evidenceOf(fault, 'seen.note'))).toContain('\n30\n');
    expect(verifyNote(evidenceOf(fault, 'shown.note'), [trusted]).text).toContain('\n20\n');
  });

  test('shows that the log was removed', async () => {
    await seal(log, 5);
    await look();
    await rewrite(0);
    expect(faultOf(await look(), 'truncated').sentence).toBe('the deployment shows no checkpoint any more');
  });

  test('shows that the log was written anew with as many entries, by two notes of one key', async () => {
    await seal(log, 12);
    await look();
    await rewrite(12);
    const fault = faultOf(await look(), 'forked');
    const [seen, shown] = ['seen.note', 'shown.note'].map((name) => evidenceOf(fault, name));
    expect(verifyNote(seen ?? '', [trusted]).text).not.toBe(verifyNote(shown ?? '', [trusted]).text);
  });

  test('shows that the log was written anew with more entries', async () => {
    await seal(log, 12);
    await look();
    await rewrite(700);
    const fault = faultOf(await look(), 'unproven');
    expect(evidenceOf(fault, 'seen.note')).toContain('\n12\n');
    expect(evidenceOf(fault, 'shown.note')).toContain('\n700\n');
    // And again, for what was cosigned once stays.
    faultOf(await look(), 'unproven');
  });

  test('follows an old epoch to its end and goes on with the new one, but not back', async () => {
    await seal(log, 12);
    await look();
    await seal(log, 3);
    const next = beginLog({ url: house.stores.url('eu-1 audit', 'tenon_worker'), tenant, epoch: 2 });
    await seal(next, 4);
    expect(await look()).toMatchObject({ kind: 'cosigned', origin: next.origin, before: 0, size: 4 });
    expect((await own.witness.seen(log.origin))?.size).toBe(15);
    await log.append([{}]);
    expect(faultOf(await look(), 'truncated').sentence).toContain('went back');
  });

  test('shows that entries of an old epoch were cut off when the new one began', async () => {
    await seal(log, 12);
    await look();
    await rewrite(10);
    await seal(beginLog({ url: house.stores.url('eu-1 audit', 'tenon_worker'), tenant, epoch: 2 }), 4);
    expect(faultOf(await look(), 'truncated').sentence).toContain('had 12 entries and now has 10');
  });

  test('shows a checkpoint of a key that it does not trust', async () => {
    await seal(log, 5);
    const stranger = newSigner();
    const fault = faultOf(await look(real, [testLog({ signer: stranger }).verifier]), 'unknown key');
    expect(evidenceOf(fault, 'shown.note')).toContain(log.origin);
  });

  test('says nothing about the log where the token is refused or the deployment is away', async () => {
    await expect(look(deploymentAt({ url, token: 'nobody' }))).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    const away = deploymentAt({ url: 'http://127.0.0.1:1', token: TOKEN });
    await expect(look(away)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });
});

describe('a rotation of the key of the log', () => {
  const [old, young] = [newSigner(), newSigner()];
  const [before, after] = [testLog({ signer: old }), testLog({ signer: young })];
  const rotation = signRotation({ number: 1, oldKey: old, newKey: young, at: new Date() });
  const deployment = (note: string, rotations: string[]): Deployment => ({
    checkpoint: async () => note,
    consistency: async ({ from, to = 0 }) => ({ oldSize: from, proof: before.proof(from, to), note }),
    rotations: async () => rotations,
  });

  test('is followed by a witness that was given the old key alone, and remembered', async () => {
    expect((await look(deployment(before.note(5), []), [before.verifier])).kind).toBe('cosigned');
    expect((await look(deployment(after.note(9), [rotation]), [before.verifier])).kind).toBe('cosigned');
    expect(await look(deployment(after.note(11), []), [before.verifier])).toMatchObject({
      kind: 'cosigned',
      before: 9,
    });
  });

  test('is not followed with one signature alone', async () => {
    const forged = signNote(parseNote(rotation).text, young);
    faultOf(await look(deployment(after.note(9), [forged]), [before.verifier]), 'unknown key');
  });
});

describe('tenon witness', () => {
  const words = (folder: string, ...more: string[]) => [
    'witness',
    '--url',
    url,
    '--folder',
    folder,
    '--vkey',
    TEST_SIGNING_KEY.verifierKey,
    ...more,
  ];
  const env = { TENON_TOKEN: TOKEN };

  test('looks once, says what it cosigned, and ends with 1 and a loud line where the log was rewritten', async () => {
    const folder = emptyFolder();
    await seal(log, 12);
    const first = await tenon(words(folder, '--once'), env);
    expect(first).toMatchObject({ code: 0, err: '' });
    expect(first.out).toContain(`${log.origin}: grew from 0 to 12 entries; cosigned in ${folder}`);
    await rewrite(12);
    const second = await tenon(words(folder, '--once', '--json'), env);
    expect(second.code).toBe(1);
    expect(second.err).toContain('THE LOG CANNOT BE TRUSTED: two different logs of 12 entries were signed');
    expect(JSON.parse(second.out)).toMatchObject({ kind: 'forked', evidence: expect.stringContaining(folder) });
  });

  test('ends with 1 in a row of looks as well, and listens meanwhile', async () => {
    const folder = emptyFolder();
    await seal(log, 12);
    await tenon(words(folder, '--once'), env);
    await rewrite(3);
    const { code, out } = await tenon(words(folder, '--interval', '1s', '--listen', '0'), env);
    expect(code).toBe(1);
    expect(out).toMatch(
      /listening {2}http:\/\/127\.0\.0\.1:\d+\nTRUNCATED: the log of .* had 12 entries and now has 3/,
    );
  });

  test('says how it is used where it cannot be', async () => {
    const folder = emptyFolder();
    expect(await tenon(words(folder, '--listen', 'here'), env)).toMatchObject({
      code: 2,
      err: expect.stringContaining('--listen takes'),
    });
    expect((await tenon(words(folder, '--once'))).err).toContain('--token');
    expect((await tenon(['witness', '--help'])).out).toContain('POST /add-checkpoint');
  });

  test('ends cleanly when it is told to', async () => {
    await seal(log, 2);
    const program = join(import.meta.dirname, '../../compliance/tenon.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', program, ...words(emptyFolder())], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    await expect.poll(() => out, { timeout: 10_000 }).toContain('grew from 0 to 2');
    const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  });
});
