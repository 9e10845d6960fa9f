import { createPrivateKey } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { cosign, cosignatureVerifier, encodeCosignerKey } from '#schema/cosignature.ts';
import { inclusionProof } from '#schema/merkle.ts';
import { parsePlatformHead, parsePlatformTick, platformLeaf } from '#schema/platform-entry.ts';
import { encodePlatformProof } from '#schema/platform-proof.ts';
import { signNote, type NoteSigner } from '#schema/signed-note.ts';
import { encodeProof } from '#schema/tlog-proof.ts';
import { StreamForm } from '#schema/audit-stream.ts';
import { STREAM_FORMATTERS } from '../../compliance/streams/forms/form.ts';
import { webhookReceiver } from '../../compliance/streams/receivers/webhook.ts';
import { timestampRequest, verifyTimestamp } from '../../compliance/anchors/timestamp.ts';
import { openLocalTsa, type LocalTsa } from '../compliance/local-tsa.ts';
import { httpReceiver } from '../compliance/stream-world.ts';
import { makeTicks } from '../compliance/platform-fixture.ts';
import { streamedEntries, TENANT as STREAM_TENANT } from '../compliance/streamed-entries.ts';
import { checkpointOf, makeLog, OTHER_TENANT } from '../compliance/verify-fixture.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import type { Vector } from './vectors.ts';

const KEY = TEST_SIGNING_KEY.verifierKey;
const signer: NoteSigner = { name: TEST_SIGNING_KEY.name, privateKey: TEST_SIGNING_KEY.privateKey };
const base64Files = (files: ReadonlyMap<string, Buffer>) =>
  Object.fromEntries([...files].map(([path, bytes]) => [path, bytes.toString('base64')]));

/** Returns the key of a signer that is the same in every run; the byte is two hex digits. */
export function seededKey(byte: string): NoteSigner['privateKey'] {
  return createPrivateKey({
    key: Buffer.from(`302e020100300506032b657004220420${byte.repeat(32)}`, 'hex'),
    format: 'der',
    type: 'pkcs8',
  });
}

/** Returns a platform log over two logs, and proofs of single heads of it. */
export async function platform(): Promise<Vector> {
  const logs = [
    await makeLog({ counts: [3, 2] }),
    await makeLog({ counts: [4], epoch: 2 }),
    await makeLog({ counts: [1, 1], tenant: OTHER_TENANT }),
  ];
  const ticks = await makeTicks(logs, 'eu');
  const contents = [...ticks.values()].map((bytes) => parsePlatformTick(gunzipSync(bytes)));
  const [first = '', second = ''] = ticks.keys();
  const flipped = Buffer.from(ticks.get(first) ?? '');
  flipped.writeUInt8(flipped.readUInt8(60) ^ 1, 60);
  const proofs = proofsOf(contents);
  const [proof = ''] = proofs.map((each) => each.proof);
  return {
    section: '6',
    key: KEY,
    checkpoints: [contents.at(-1)?.checkpoint, ...logs.map((log) => checkpointOf(log))],
    files: base64Files(new Map([...logs.flatMap((log) => [...log.files]), ...ticks])),
    expected: { integrity: 'pass', completeness: 'pass' },
    mutations: [
      { name: 'a bit of a tick', changes: { [first]: flipped.toString('base64') }, expected: { integrity: 'fail' } },
      { name: 'a missing tick', changes: { [first]: null }, expected: { completeness: 'fail' } },
      { name: 'a cut-off tick', changes: { [second]: null }, expected: { completeness: 'fail' } },
      {
        name: 'a tick in the place of another',
        changes: { [second]: ticks.get(first)?.toString('base64') },
        expected: { integrity: 'fail' },
      },
    ],
    proofs: {
      valid: proofs,
      invalid: [
        { ...proofs[0], origin: proofs[1]?.origin },
        { ...proofs[0], proof: proof.replace('"head_index":0', '"head_index":1') },
        { ...proofs[0], proof: proof.replace('\\"size\\":5', '\\"size\\":6') },
        { ...proofs[0], proof: proof.replace(/"head_hashes":\["[0-9a-f]{64}",/, '"head_hashes":[') },
        { ...proofs[0], proof: proof.replace('tlog-proof@v1\\nextra', 'tlog-proof@v1\\nextrA') },
      ],
    },
  };
}

/** A proof of each head in the newest tick. */
function proofsOf(ticks: readonly ReturnType<typeof parsePlatformTick>[]): { origin: string; proof: string }[] {
  const entries = ticks.flatMap((tick) => tick.entries);
  const leaves = entries.map((entry) => platformLeaf(entry));
  const newest = new Map(
    ticks.flatMap(({ heads }) => heads.map((head) => [parsePlatformHead(Buffer.from(head)).origin, head] as const)),
  );
  const order = [...newest].toSorted(([left], [right]) => (left < right ? -1 : 1));
  const headLeaves = order.map(([, head]) => platformLeaf(head));
  const index = entries.length - 1;
  const tlogProof = encodeProof({
    index,
    hashes: inclusionProof(leaves, index, entries.length),
    checkpoint: ticks.at(-1)?.checkpoint ?? '',
    extra: Buffer.from(entries[index] ?? ''),
  });
  return order.map(([origin, head], place) => ({
    origin,
    proof: encodePlatformProof({
      v: 1,
      head,
      head_index: place,
      head_hashes: inclusionProof(headLeaves, place, order.length).map((hash) => hash.toString('hex')),
      tlog_proof: tlogProof,
    }),
  }));
}

/** Returns policies with cosigned checkpoints that they hold for, and others. */
export function policies(note: string): Vector {
  const at = new Date('2026-03-02T00:00:00Z');
  const witnesses = ['77', '78', '79'].map((byte, index) => ({
    name: `witness-${index + 1}.test`,
    privateKey: seededKey(byte),
  }));
  const lines = witnesses.map((witness) => cosign(note, witness, at));
  const words = witnesses.map((witness, index) => {
    return `witness w${index + 1} ${encodeCosignerKey(cosignatureVerifier(witness))}\n`;
  });
  const all = `log ${KEY}\n${words.join('')}`;
  const withLines = (...chosen: number[]) => note + chosen.map((index) => lines[index - 1]).join('');
  const other = signNote(note.slice(0, note.lastIndexOf('\n\n') + 1), { ...signer, privateKey: seededKey('66') });
  return {
    section: '6.5',
    policies: [
      { policy: `${all}quorum w1\n`, holds: [withLines(1), withLines(1, 2)], fails: [note, withLines(2, 3)] },
      {
        policy: `# two of three\n${all}group g 2 w1 w2 w3\nquorum g\n`,
        holds: [withLines(1, 3), withLines(1, 2, 3)],
        fails: [withLines(2), note],
      },
      {
        policy: `${all}group inner any w2 w3\ngroup outer all w1 inner\nquorum outer\n`,
        holds: [withLines(1, 3)],
        fails: [withLines(2, 3), withLines(1)],
      },
      { policy: `log ${KEY}\nquorum none\n`, holds: [note], fails: [] },
    ],
    // Not signed by the log, or by a witness over something else: no answer but a refusal.
    refused: [
      { policy: `${all}quorum w1\n`, note: other + (lines[0] ?? '') },
      { policy: `${all}quorum w1\n`, note: note.replace(/\n\d+\n/, '\n1\n') + (lines[0] ?? '') },
    ],
    invalid: [
      all,
      `${all}quorum w4\n`,
      `${all}group g 4 w1 w2\nquorum g\n`,
      `${all}quorum w1`,
      `${all}${words[0]}quorum w1\n`,
    ],
  };
}

/** The secret of the webhook in the vectors. */
const SECRET = `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`;

const streamed = streamedEntries([
  {},
  {
    outcome: 'denied',
    event: { actor: { type: 'anonymous', id: null, ip: null, ua: null }, action: 'sign_in.refuse' },
  },
  { outcome: 'failure', event: { action: 'role.delete', ts: '2026-03-01T10:20:30Z' } },
]);

/** What a webhook really receives, in each form. */
async function sentRequests(): Promise<WebhookRequest[]> {
  const door = await httpReceiver();
  const settings = { config: { profile: 'embedded', outgoingPrivate: null } } as const;
  for (const form of Object.values(StreamForm)) {
    await webhookReceiver.send(
      { platform: settings, deployment: signer.name, endpoint: door.url, settings: {}, secret: SECRET },
      {
        stream: 'str_0006g6rm96e7xaacqhy8tyjgx9',
        tenant: STREAM_TENANT,
        form,
        messages: streamed.map((each) => ({ streamed: each, body: STREAM_FORMATTERS[form](each) })),
        now: new Date('2026-05-04T12:00:00Z'),
      },
    );
  }
  const names = ['content-type', 'webhook-id', 'webhook-timestamp', 'webhook-signature'];
  return door.requests.map(({ headers, body }, index) => ({
    form: Object.values(StreamForm)[index] ?? '',
    headers: Object.fromEntries(names.map((name) => [name, String(headers[name])])),
    body: body.toString(),
  }));
}

/** Returns what a webhook receives of three entries, in each form of a stream. */
export async function streams(): Promise<Vector> {
  const requests = await sentRequests();
  const [first] = requests;
  return {
    section: '12',
    key: KEY,
    secret: SECRET,
    entries: streamed.map(({ text, leaf }) => ({ entry: text, leaf })),
    webhooks: { valid: requests, invalid: first === undefined ? [] : changedRequests(first) },
  };
}

interface WebhookRequest {
  readonly form: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function changedRequests(request: WebhookRequest): WebhookRequest[] {
  const { headers, body } = request;
  return [
    { ...request, body: body.replace('success', 'Success') },
    { ...request, headers: { ...headers, 'webhook-id': `${headers['webhook-id']}0` } },
    { ...request, headers: { ...headers, 'webhook-timestamp': '1777896001' } },
  ];
}

/**
 * Returns time stamps of a note by an authority of its own, as OpenSSL makes it; null where there is no OpenSSL. Neither
 * its keys nor its clock are the same again, so the file is made once.
 */
export async function timestamps(note: string, other: string): Promise<Vector | null> {
  const [authority, stranger] = [await openLocalTsa(), await openLocalTsa()];
  if (authority === null || stranger === null) return null;
  const stampOf = async (tsa: LocalTsa, text: string) =>
    (await tsa.stamp(timestampRequest(Buffer.from(text)).bytes)).toString('base64');
  const answer = await stampOf(authority, note);
  const bytes = Buffer.from(answer, 'base64');
  const { time } = verifyTimestamp({ answer: bytes, data: Buffer.from(note), trusted: [] });
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 10) ^ 1, bytes.length - 10);
  return {
    section: '6.5',
    trusted: authority.root,
    valid: [{ note, answer, time: time.toISOString() }],
    invalid: [
      { name: 'of another note', note: other, answer },
      { name: 'with another signature', note, answer: bytes.toString('base64') },
      { name: 'of an authority that is not trusted', note, answer: await stampOf(stranger, note) },
      { name: 'cut off', note, answer: Buffer.from(answer, 'base64').subarray(0, 200).toString('base64') },
    ],
  };
}
