import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import yauzl from 'yauzl';
import { verifyProof } from '#schema/tlog-proof.ts';
import { entryLeaf } from '#schema/audit-event.ts';
import { parseVerifierKey } from '#schema/signed-note.ts';
import { graphql, must, send, until, type Tour } from './client.ts';

/** What the steps before must have left in the audit log of acme. */
const EXPECTED = [
  'user.provision',
  'group.provision',
  'group.map_role',
  'sign_in_link.create',
  'session.create',
  'project.create',
  'document.create',
  'document.share',
  'operation.refuse',
  'usage.record',
  'invoice.draft',
  'user.deactivate',
];

/** Every step is found in the audit log, written in the transaction of its change. */
export async function everyStepIsLogged(tour: Tour): Promise<void> {
  const { admin } = tour.tenants.acme;
  const missing = await until('the audit events', 30, async () => {
    const { body } = await send<string>(tour, '/v1/audit/events.ndjson', { token: admin });
    const absent = EXPECTED.filter((action) => !body.includes(`"action":"${action}"`));
    return absent.length === 0 ? absent : null;
  });
  must(missing.length === 0, `not in the log: ${missing.join()}`);
  tour.say(`${EXPECTED.length} kinds of action found: ${EXPECTED.join(', ')}`);
}

interface Proven {
  readonly auditEvent: {
    readonly seq: number;
    readonly entry: string;
    readonly proof: { readonly status: string; readonly treeSize: number | null };
  };
}

/** The event of the shared document is sealed into the archive, and its proof verifies against the published key. */
export async function eventIsSealed(tour: Tour): Promise<void> {
  const { admin } = tour.tenants.acme;
  const id = tour.found.get('event');
  const query = 'query ($id: ID!) { auditEvent(id: $id) { seq entry proof { status treeSize } } }';
  const { auditEvent } = await until('the seal', 60, async () => {
    const answer = await graphql<Proven>(tour, admin, query, { id });
    return answer.auditEvent.proof.status === 'SEALED' ? answer : null;
  });
  const proof = await send<string>(tour, `/v1/audit/events/${id}/proof`, { token: admin });
  const { body } = await send<{ keys: { verifierKey: string }[] }>(tour, '/.well-known/tenon/keys');
  const verifierKeys = body.keys.map(({ verifierKey }) => parseVerifierKey(verifierKey));
  const proven = verifyProof({ proof: proof.body, leaf: entryLeaf(Buffer.from(auditEvent.entry)), verifierKeys });
  must(proven.index === auditEvent.seq, 'the proof is of another entry');
  tour.found.set('key', body.keys[0]?.verifierKey ?? '');
  tour.say(
    `entry ${proven.index} of ${proven.checkpoint.size} in ${proven.checkpoint.origin}, root ${Buffer.from(proven.checkpoint.root).toString('hex').slice(0, 16)}...`,
  );
}

/** Evidence packs are built, downloaded and verified offline; one changed byte is found and named. */
export async function evidenceIsVerified(tour: Tour): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-tour-'));
  try {
    const window = {
      from: new Date(Date.now() - 24 * 3_600_000).toISOString(),
      to: new Date(Date.now() + 3_600_000).toISOString(),
    };
    for (const request of [
      { kind: 'soc2', ...window },
      { kind: 'gdpr_access', ...window, subject: tour.found.get('alice') },
    ]) {
      const file = join(folder, `${request.kind}.zip`);
      writeFileSync(file, await buildPack(tour, request));
      const verdict = verify(tour, file);
      must(verdict.code === 0, `verify ended with ${verdict.code}: ${verdict.text}`);
      tour.say(`${request.kind}: ${lines(verdict.text, 2)}`);
    }
    await changeOneByte(tour, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function buildPack(tour: Tour, request: object): Promise<Buffer> {
  const { admin } = tour.tenants.acme;
  const asked = await send<{ id: string }>(tour, '/v1/evidence', { token: admin, body: request });
  must(asked.status < 300, `the request answered ${asked.status}: ${JSON.stringify(asked.body)}`);
  await until('the pack', 90, async () => {
    const { body } = await send<{ state: string; failure?: string }>(tour, `/v1/evidence/${asked.body.id}`, {
      token: admin,
    });
    must(body.state.toLowerCase() !== 'failed', `the pack failed: ${body.failure}`);
    return body.state.toLowerCase() === 'ready' ? true : null;
  });
  const response = await fetch(`${tour.url}/v1/evidence/${asked.body.id}/pack.zip`, {
    headers: { authorization: `Bearer ${admin}` },
  });
  must(response.status === 200, `the download answered ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

async function changeOneByte(tour: Tour, folder: string): Promise<void> {
  const unpacked = join(folder, 'unpacked');
  await unzip(join(folder, 'soc2.zip'), unpacked);
  const victim = readdirSync(join(unpacked, 'populations')).find((name) => name.endsWith('.csv'));
  must(victim !== undefined, 'the pack has no population');
  const copy = join(folder, 'changed');
  cpSync(unpacked, copy, { recursive: true });
  const file = join(copy, 'populations', victim);
  const bytes = readFileSync(file);
  bytes[bytes.length - 2] = (bytes[bytes.length - 2] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  const verdict = verify(tour, copy);
  must(verdict.code === 1, `the changed pack passed with ${verdict.code}`);
  must(verdict.text.includes(victim), `the verifier did not name ${victim}: ${verdict.text}`);
  tour.say(`one byte of populations/${victim} changed -> exit 1, and the place is named`);
}

function verify(tour: Tour, path: string): { code: number | null; text: string } {
  const program = fileURLToPath(new URL('../../compliance/tenon.ts', import.meta.url));
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', program, 'verify', path, '--key', tour.found.get('key') ?? ''],
    { encoding: 'utf8' },
  );
  return { code: status, text: `${stdout}${stderr}` };
}

function lines(text: string, count: number): string {
  return text
    .trim()
    .split('\n')
    .slice(0, count)
    .map((line) => line.trim())
    .join('; ');
}

/** Unpacks a zip that this tour had built itself. */
function unzip(file: string, folder: string): Promise<void> {
  return new Promise((resolve, reject) => {
    yauzl.open(file, { lazyEntries: true }, (error, zip) => {
      if (error !== null) return reject(error);
      zip.on('entry', (entry: yauzl.Entry) => {
        zip.openReadStream(entry, (failure, stream) => {
          if (failure !== null) return reject(failure);
          const chunks: Buffer[] = [];
          stream.on('data', (chunk: Buffer) => chunks.push(chunk));
          stream.on('end', () => {
            const target = join(folder, entry.fileName);
            mkdirSync(dirname(target), { recursive: true });
            writeFileSync(target, Buffer.concat(chunks));
            zip.readEntry();
          });
        });
      });
      zip.on('end', resolve);
      zip.on('error', reject);
      zip.readEntry();
    });
  });
}
