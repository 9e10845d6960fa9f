import { hash } from 'node:crypto';
import { canonicalJson } from '#schema/canonical-json.ts';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { cosign, cosignatureVerifier, encodeCosignerKey } from '#schema/cosignature.ts';
import { signRotation } from '#schema/key-rotation.ts';
import { consistencyProof, Frontier, inclusionProof, leafHash } from '#schema/merkle.ts';
import { encodeVerifierKey, noteVerifier, signNote, type NoteSigner } from '#schema/signed-note.ts';
import { encodeProof } from '#schema/tlog-proof.ts';
import { envelopeBytes, signErasure } from '../../compliance/privacy/erasure-statement.ts';
import { checkpointOf, eventAt, makeLog, makePack, TENANT, type MadeLog } from '../compliance/verify-fixture.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { platform, policies, seededKey, streams } from './vectors-outside.ts';

/** What a file of vectors holds. */
export type Vector = Readonly<Record<string, unknown>>;

const signer: NoteSigner = { name: TEST_SIGNING_KEY.name, privateKey: TEST_SIGNING_KEY.privateKey };
const stranger: NoteSigner = { name: signer.name, privateKey: seededKey('66') };
const successor: NoteSigner = { name: signer.name, privateKey: seededKey('43') };
const vkey = ({ name, privateKey }: NoteSigner) => encodeVerifierKey(noteVerifier(name, privateKey));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const base64Files = (files: ReadonlyMap<string, Buffer>) =>
  Object.fromEntries([...files].map(([path, bytes]) => [path, bytes.toString('base64')]));

/** Returns the files of test vectors by their names; the same code gives the same bytes. */
export async function vectors(): Promise<Readonly<Record<string, Vector>>> {
  const log = await makeLog({ counts: [5, 3] });
  return {
    'canonical-json.json': canonical(),
    'merkle.json': merkle(),
    'entries.json': entries(log),
    'notes.json': notes(log),
    'archive.json': archive(log),
    'platform.json': await platform(),
    'policies.json': policies(checkpointOf(log)),
    'streams.json': await streams(),
    'rotations.json': rotations(),
    'cosignatures.json': cosignatures(log),
    'proofs.json': proofs(log),
    'exports.json': exports(log),
    'pack.json': pack(log),
    'erasure.json': await erasure(),
  };
}

function canonical(): Vector {
  const values = [
    { b: 1, a: [true, null, 'é"\\\n'] },
    { '10': 1, '9': 2, '': {} },
    [1e21, 0.000001, -0, 5e-324],
    'x\u0001',
  ];
  return {
    section: '1',
    valid: values.map(canonicalJson).map((text) => ({ text, sha256: hash('sha256', text, 'hex') })),
    invalid: [
      '{"b":1,"a":2}',
      '{"a":1,"a":1}',
      '{ "a":1}',
      '[1.0]',
      '[1E2]',
      '["\\u0041"]',
      '["\\ud800"]',
      '\ufeff[]',
      '[-0]',
      '[1]\n',
    ],
  };
}

function merkle(): Vector {
  const inputs = Array.from({ length: 9 }, (_, index) => Buffer.from(`entry ${index}`));
  const leaves = inputs.map(leafHash);
  const rootOf = (size: number) => {
    const tree = new Frontier();
    for (const leaf of leaves.slice(0, size)) tree.append(leaf);
    return hex(tree.root());
  };
  const inclusion = [
    [0, 1],
    [0, 8],
    [5, 7],
    [8, 9],
    [3, 9],
  ].map(([index = 0, size = 0]) => ({
    index,
    size,
    leaf: hex(leaves[index] ?? Buffer.alloc(0)),
    root: rootOf(size),
    hashes: inclusionProof(leaves, index, size).map(hex),
  }));
  const [first] = inclusion.slice(1);
  return {
    section: '3, 8',
    entries: inputs.map((input) => input.toString()),
    leaves: leaves.map(hex),
    roots: Array.from({ length: 10 }, (_, size) => rootOf(size)),
    inclusion,
    inclusion_invalid: [
      { ...first, index: 1 },
      { ...first, size: 9 },
      { ...first, hashes: first?.hashes.slice(1) },
      { ...first, root: rootOf(7) },
    ],
    consistency: [
      [1, 8],
      [3, 7],
      [6, 8],
      [4, 4],
    ].map(([from = 0, to = 0]) => ({
      from,
      to,
      from_root: rootOf(from),
      to_root: rootOf(to),
      hashes: consistencyProof(leaves, from, to).map(hex),
    })),
  };
}

function entries(log: MadeLog): Vector {
  const [text = ''] = log.lines.map(String);
  const sealed = { $enc: { c: 'A'.repeat(30), i: 'B'.repeat(16), k: 'C'.repeat(22) } };
  const parsed = JSON.parse(text) as { event: { actor: object; context: object } };
  const withSealed = canonicalJson({
    ...parsed,
    event: { ...parsed.event, actor: { ...parsed.event.actor, ip: sealed }, context: { email: sealed } },
  });
  const changed = (from: string, to: string) => text.replace(from, to);
  return {
    section: '2, 3',
    valid: [...log.lines.map(String), withSealed].map((entry) => ({ entry, leaf: hex(leafHash(Buffer.from(entry))) })),
    invalid: [
      changed('"v":1', '"v":2'),
      changed('"seq":0', '"seq":-1'),
      changed('"seq":0', '"seq":1'),
      changed('"outcome":"success"', '"outcome":"done"'),
      changed('"action_version":1', '"action_version":0'),
      changed('"session_id":null,', ''),
      changed('"prev":"0000', '"prev":"0001'),
      changed(':', ': '),
      changed('"context":{', '"context":{"z":1,'),
    ],
    invalid_events: [
      changed('"type":"user"', '"type":"anonymous"'),
      changed('"id":"usr_ann"', '"id":""'),
      changed('"context":{', '"context":{"Key":1,'),
      changed('"ts":"2026-03-01', '"ts":"2026-02-30'),
      withSealed.replace('"k":"CC', '"k":"C'),
    ],
  };
}

function notes(log: MadeLog): Vector {
  const note = checkpointOf(log);
  const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
  const size = log.lines.length;
  return {
    section: '4',
    key: vkey(signer),
    valid: [
      {
        note,
        origin: `tenon.test/audit/${TENANT}/1`,
        size,
        root: hex(log.manifests.at(-1) ? rootAfter(log) : Buffer.alloc(0)),
      },
      {
        note: signNote(text, stranger, signer),
        origin: `tenon.test/audit/${TENANT}/1`,
        size,
        root: hex(rootAfter(log)),
      },
    ],
    invalid: [
      signNote(text, stranger),
      note.replace(`\n${size}\n`, `\n${size + 1}\n`),
      note.slice(0, -1),
      note.replace('— tenon.test', '- tenon.test'),
      signNote(encodeCheckpoint({ origin: 'x', size: 1, root: Buffer.alloc(32) }).replace('\n1\n', '\n01\n'), signer),
    ],
    invalid_keys: [vkey(signer).replace('+6', '+7'), vkey(signer).slice(0, -4), 'tenon.test'],
  };
}

function rootAfter(log: MadeLog): Buffer {
  return Buffer.from(log.manifests.at(-1)?.manifest.root_after ?? '', 'hex');
}

function archive(log: MadeLog): Vector {
  const files = log.files;
  const [first, second] = log.manifests.map(({ manifest }) => manifest.segment.key);
  const manifests = log.manifests.map(({ key }) => key);
  const flipped = (path: string, at: number) => {
    const bytes = Buffer.from(files.get(path) ?? Buffer.alloc(0));
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    return { [path]: bytes.toString('base64') };
  };
  const failed = { integrity: 'fail', completeness: 'cannot say' };
  return {
    section: '5',
    key: vkey(signer),
    checkpoints: [checkpointOf(log)],
    files: base64Files(files),
    expected: { integrity: 'pass', completeness: 'pass' },
    mutations: [
      { name: 'a bit of a segment', changes: flipped(first ?? '', 60), expected: failed },
      { name: 'a bit of a manifest', changes: flipped(manifests[1] ?? '', 100), expected: { ...failed, seq: 5 } },
      {
        name: 'a missing segment',
        changes: { [second ?? '']: null },
        expected: { integrity: 'cannot say', completeness: 'fail', seq: 5 },
      },
      {
        name: 'a cut-off end',
        changes: { [second ?? '']: null, [manifests[1] ?? '']: null },
        expected: { integrity: 'pass', completeness: 'fail', seq: 5 },
      },
    ],
  };
}

function rotations(): Vector {
  const at = new Date('2026-06-01T00:00:00Z');
  const statement = signRotation({ number: 1, oldKey: signer, newKey: successor, at });
  const text = statement.slice(0, statement.lastIndexOf('\n\n') + 1);
  return {
    section: '7',
    trusted: [vkey(signer)],
    valid: [{ statement, leads_to: vkey(successor) }],
    invalid: [signNote(text, signer), signNote(text, successor), statement.replace('/keys/1', '/keys/2')],
  };
}

function cosignatures(log: MadeLog): Vector {
  const witness: NoteSigner = { name: 'witness.test', privateKey: seededKey('77') };
  const note = checkpointOf(log);
  const line = cosign(note, witness, new Date('2026-03-02T00:00:00Z'));
  return {
    section: '6.5',
    log_key: vkey(signer),
    witness_key: encodeCosignerKey(cosignatureVerifier(witness)),
    note,
    line,
  };
}

function proofOf(log: MadeLog, index: number): string {
  const hashes = inclusionProof(log.leaves, index, log.leaves.length);
  return encodeProof({ index, hashes, checkpoint: checkpointOf(log), extra: log.lines[index] ?? Buffer.alloc(1) });
}

function proofs(log: MadeLog): Vector {
  const proof = proofOf(log, 6);
  const other = proofOf(log, 5);
  const extra = /^extra .*$/m;
  return {
    section: '8',
    key: vkey(signer),
    valid: log.lines.map((_, index) => proofOf(log, index)),
    invalid: [
      proof.replace('index 6', 'index 5'),
      proof.replace(extra, extra.exec(other)?.[0] ?? ''),
      proof.replace(/\n[^\n]{44}\n/, '\n'),
      proof.replace('tlog-proof@v1', 'tlog-proof@v2'),
    ],
  };
}

function exports(log: MadeLog): Vector {
  const size = log.lines.length;
  const rows = log.lines.map((entry, index) => {
    const hashes = inclusionProof(log.leaves, index, size).map(hex);
    const leaf = hex(log.leaves[index] ?? Buffer.alloc(0));
    return `{"entry":${String(entry)},"epoch":1,"leaf":"${leaf}","proof":${JSON.stringify(hashes)},"tree_size":${size}}`;
  });
  const head = canonicalJson({ checkpoint: checkpointOf(log), epoch: 1 });
  const ndjson = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');
  const csv = ['epoch,seq,leaf,tlog_proof']
    .concat(log.leaves.map((leaf, index) => `1,${index},${hex(leaf)},"${proofOf(log, index)}"`))
    .map((line) => `${line}\r\n`)
    .join('');
  return {
    section: '9',
    key: vkey(signer),
    ndjson: {
      valid: [ndjson([head, ...rows])],
      partial: [ndjson([head, rows[3] ?? ''])],
      invalid: [ndjson(rows), ndjson([head, (rows[2] ?? '').replace('doc_2', 'doc_3')])],
    },
    csv: {
      valid: [csv],
      partial: [csv.replace(/1,0,[^"]*"[^"]*"\r\n/, '')],
      invalid: [csv.replace('\r\n1,2,', '\r\n1,3,')],
    },
  };
}

function pack(log: MadeLog): Vector {
  const window = { from: '2026-03-01T00:00:00.000Z', to: '2026-03-02T00:00:00.000Z' };
  const files = makePack({ log, window });
  return {
    section: '10',
    key: vkey(signer),
    files: base64Files(files),
    mutations: [
      { name: 'a file that nobody named', changes: { 'more.txt': '' }, expected: { integrity: 'fail' } },
      { name: 'a missing file', changes: { 'report.html': null }, expected: { completeness: 'fail' } },
      {
        name: 'another manifest',
        changes: { 'manifest.json': files.get('report.html')?.toString('base64') },
        expected: { integrity: 'fail' },
      },
    ],
  };
}

async function erasure(): Promise<Vector> {
  const at = '2026-03-01T00:00:00.000Z';
  const person = 'usr_01hw000000e008000000000009';
  const log = await makeLog({
    counts: [1],
    eventOf: (seq, tenant) => ({
      ...eventAt(seq, tenant),
      action: 'subject.erased',
      resource: { type: 'user', id: person, name: null },
      context: { kid: 'k'.repeat(22), basis: 'request', request: null },
      ts: at,
    }),
  });
  const leaf = hex(log.leaves[0] ?? Buffer.alloc(0));
  const statement = signErasure(
    {
      event: eventAt(0, TENANT).id,
      tenant: TENANT,
      person,
      key_id: 'k'.repeat(22),
      basis: 'request',
      request: null,
      key_destroyed_at: at,
      erased_at: '2026-03-01T00:00:09.000Z',
      stores: [{ store: 'identity.users', method: 'deleted', rows: 1, left: 0, kept_until: null }],
      backups_until: '2026-04-05T00:00:09.000Z',
      log: { epoch: 1, seq: 0, leaf },
    },
    signer,
  );
  const certificate = canonicalJson({
    v: 1,
    statement: JSON.parse(envelopeBytes(statement).toString()),
    proof: proofOf(log, 0),
  });
  return {
    section: '11',
    key: vkey(signer),
    valid: [certificate],
    invalid: [certificate.replace('"payload":"e', '"payload":"f'), certificate.replace('"v":1', '"v":2')],
  };
}
