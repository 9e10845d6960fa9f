import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll } from 'vitest';

/** A time stamp authority of this machine: OpenSSL behind HTTP, under a root certificate of its own. */
export interface LocalTsa {
  readonly url: string;
  /** PEM of the root, which auditors trust. */
  readonly root: string;
  /** PEM of the certificate that signs. */
  readonly certificate: string;
  /** How many requests came. */
  readonly requests: () => number;
  /** What it does with its answers from now on; null is to answer as it should. */
  disturb(change: ((answer: Buffer) => Buffer | number) | null): void;
  /** Stamps a request that lies in a file of its own. */
  stamp(query: Buffer): Promise<Buffer>;
}

/** How the keys are made; both are in use. */
export type TsaKey = 'rsa' | 'ec';

/** Opens an authority; it is closed when the test file ends. Null where this machine has no OpenSSL. */
export async function openLocalTsa(kind: TsaKey = 'ec', usage = 'critical,timeStamping'): Promise<LocalTsa | null> {
  if (!hasOpenssl()) return null;
  const folder = mkdtempSync(join(tmpdir(), 'tenon-tsa-'));
  makeAuthority(folder, kind, usage);
  let requests = 0;
  let change: ((answer: Buffer) => Buffer | number) | null = null;
  const stamp = (query: Buffer) => stampIn(folder, query);
  const answer = async (query: Buffer): Promise<[number, Buffer]> => {
    const good = await stamp(query);
    const changed = change === null ? good : change(good);
    return typeof changed === 'number' ? [changed, Buffer.alloc(0)] : [200, changed];
  };
  const server = createServer((req, res) => {
    requests += 1;
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      void answer(Buffer.concat(chunks)).then(([status, body]) => res.writeHead(status, REPLY).end(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    root: readFileSync(join(folder, 'root.pem'), 'utf8'),
    certificate: readFileSync(join(folder, 'tsa.pem'), 'utf8'),
    requests: () => requests,
    disturb: (next) => (change = next),
    stamp,
  };
}

const REPLY = { 'content-type': 'application/timestamp-reply' };

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stderr.write('SKIPPED: time stamps are not tested, since this machine has no openssl\n');
    return false;
  }
}

const key = { rsa: ['rsa:2048'], ec: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] };

function makeAuthority(folder: string, kind: TsaKey, usage: string): void {
  const run = (...words: string[]) => execFileSync('openssl', words, { cwd: folder, stdio: 'ignore' });
  writeFileSync(join(folder, 'tsa.cnf'), CONFIG(usage));
  run(
    'req',
    '-x509',
    '-newkey',
    ...key[kind],
    '-nodes',
    '-keyout',
    'root.key',
    '-out',
    'root.pem',
    '-days',
    '30',
    '-subj',
    '/CN=Test root',
    '-config',
    'tsa.cnf',
    '-extensions',
    'root',
  );
  run(
    'req',
    '-newkey',
    ...key[kind],
    '-nodes',
    '-keyout',
    'tsa.key',
    '-out',
    'tsa.csr',
    '-subj',
    '/CN=Test authority',
    '-config',
    'tsa.cnf',
  );
  run(
    'x509',
    '-req',
    '-in',
    'tsa.csr',
    '-CA',
    'root.pem',
    '-CAkey',
    'root.key',
    '-CAcreateserial',
    '-out',
    'tsa.pem',
    '-days',
    '30',
    '-extfile',
    'tsa.cnf',
    '-extensions',
    'tsa_certificate',
  );
  writeFileSync(join(folder, 'serial'), '01\n');
}

let queries = 0;
let queue: Promise<unknown> = Promise.resolve();

/** One after the other, for OpenSSL counts its serial numbers in a file. */
function stampIn(folder: string, query: Buffer): Promise<Buffer> {
  const next = queue.then(async () => {
    const name = `query-${(queries += 1)}`;
    writeFileSync(join(folder, name), query);
    await promisify(execFile)(
      'openssl',
      ['ts', '-reply', '-queryfile', name, '-config', 'tsa.cnf', '-section', 'tsa', '-out', `${name}.tsr`],
      { cwd: folder },
    );
    return readFileSync(join(folder, `${name}.tsr`));
  });
  queue = next.catch(() => undefined);
  return next;
}

const CONFIG = (usage: string) => `
[req]
distinguished_name = dn
prompt = no
[dn]
CN = Test
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[tsa_certificate]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = ${usage}
[tsa]
serial = serial
signer_cert = tsa.pem
certs = root.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ordering = yes
tsa_name = yes
`;
