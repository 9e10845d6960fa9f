import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { cosignatureVerifier, parseCosignerKey, verifyCosignatures } from '#schema/cosignature.ts';
import { ConfigError } from '#schema/config.ts';
import { parseNote } from '#schema/signed-note.ts';
import { encodeAddCheckpoint, parseAddCheckpoint } from '../../compliance/witness/add-checkpoint.ts';
import { openWitnessKey } from '../../compliance/witness/key.ts';
import { serveWitness } from '../../compliance/witness/server.ts';
import { emptyFolder, newSigner, NOW, openTestWitness, testLog, type TestWitness } from './witness-fixture.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });
const signer = newSigner();
const log = testLog({ signer });
const fork = testLog({ signer, seed: 'b', forkAt: 50 });

let own: TestWitness;
let url: string;
let troubles: string[];

beforeEach(async () => {
  own = await openTestWitness();
  troubles = [];
  url = await serve(own);
});

async function serve({ witness }: TestWitness): Promise<string> {
  const keys = () => Promise.resolve([log.verifier]);
  const onTrouble = (sentence: string) => void troubles.push(sentence);
  const server = await serveWitness({ witness, keys, host: '127.0.0.1', port: 0, onTrouble });
  onTestFinished(() => server.close());
  return server.url;
}

async function post(body: string, at = url): Promise<{ status: number; type: string | null; text: string }> {
  const answer = await fetch(`${at}/add-checkpoint`, { method: 'POST', body });
  return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
}

const body = (from: number, to: number, of = log): string =>
  encodeAddCheckpoint({ oldSize: from, proof: of.proof(from, to), note: of.note(to) });

describe('a witness over HTTP', () => {
  test('cosigns a log as it grows, each answer being a signature line of its key over the checkpoint', async () => {
    for (const [from, to] of [
      [0, 3],
      [3, 64],
      [64, 64],
      [64, 199],
    ] as const) {
      const { status, text } = await post(body(from, to));
      expect(status).toBe(200);
      const { checkpoint, cosignatures } = verifyCosignatures(log.note(to) + text, [cosignatureVerifier(own.key)]);
      expect([checkpoint.size, cosignatures.map(({ time }) => time)]).toEqual([to, [NOW]]);
    }
    expect((await own.witness.seen(log.origin))?.size).toBe(199);
  });

  test('answers 409 with the size that it has seen to any other old size', async () => {
    await post(body(0, 64));
    for (const [from, to] of [
      [0, 64],
      [3, 100],
      [63, 63],
      [65, 100],
    ] as const)
      expect(await post(body(from, to))).toEqual({ status: 409, type: 'text/x.tlog.size', text: '64\n' });
  });

  test('answers 422 to a log that does not continue what it has seen, and goes on with the one that does', async () => {
    await post(body(0, 64));
    expect((await post(body(64, 100, fork))).status).toBe(422);
    const withoutProof = encodeAddCheckpoint({ oldSize: 64, proof: [], note: log.note(100) });
    expect((await post(withoutProof)).status).toBe(422);
    expect((await post(body(64, 100))).status).toBe(200);
  });

  test('answers 409 to another root of the same size, keeps both signed notes, and cosigns neither again', async () => {
    await post(body(0, 64));
    expect((await post(body(64, 64, fork))).status).toBe(409);
    const [folder = ''] = readdirSync(join(own.folder, 'evidence'));
    const shown = readFileSync(join(own.folder, 'evidence', folder, 'shown.note'), 'utf8');
    const seen = readFileSync(join(own.folder, 'evidence', folder, 'seen.note'), 'utf8');
    expect(shown).toBe(fork.note(64));
    expect(parseNote(seen).text).toBe(parseNote(log.note(64)).text);
    expect(troubles).toEqual([expect.stringContaining('two checkpoints of 64 entries were signed')]);
  });

  test('answers 404 for a log it does not know, 403 for a key it does not know, and 400 for what it cannot read', async () => {
    const other = testLog({ origin: 'other.test/1', signer: newSigner('other.test') });
    expect((await post(body(0, 3, other))).status).toBe(404);
    const stolenName = testLog({ signer: newSigner() });
    expect((await post(body(0, 3, stolenName))).status).toBe(403);
    const elsewhere = testLog({ origin: 'tenon.testament/1', signer });
    expect((await post(body(0, 3, elsewhere))).status).toBe(404);
    for (const broken of ['', 'old 1', `old 01\n\n${log.note(3)}`, `old 4\n\n${log.note(3)}`, 'old 0\n\nno note\n'])
      expect((await post(broken)).status).toBe(400);
    expect(await own.witness.seen(log.origin)).toBe(null);
  });

  test('takes no other path or method, and no body beyond 64 KiB', async () => {
    expect((await fetch(`${url}/add-checkpoint`)).status).toBe(405);
    expect((await fetch(`${url}/`, { method: 'POST' })).status).toBe(404);
    expect((await post('x'.repeat(65_537))).status).toBe(413);
  });

  test('remembers across a restart, even where another process serves the same folder', async () => {
    await post(body(0, 64));
    const again = await openTestWitness(own.folder);
    expect(again.witness.verifierKey).toBe(own.witness.verifierKey);
    const second = await serve(again);
    expect((await post(body(0, 64), second)).text).toBe('64\n');
    expect((await post(body(64, 100), second)).status).toBe(200);
    expect((await post(body(64, 100))).text).toBe('100\n');
  });

  test('cosigns one of many requests that would continue the same checkpoint', async () => {
    await post(body(0, 64));
    const second = await serve(await openTestWitness(own.folder));
    const sizes = Array.from({ length: 20 }, (_, at) => 65 + at);
    const answers = await Promise.all(sizes.map((size) => post(body(64, size), size % 2 === 0 ? url : second)));
    const good = answers.filter(({ status }) => status === 200);
    expect(good).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(19);
  });

  test('keeps of a note what known keys have signed, and nothing that strangers put below it', async () => {
    const stranger = newSigner('stranger');
    const line = log.note(3, stranger).split('\n').at(-2) ?? '';
    expect((await post(`${body(0, 3)}${line}\n`)).status).toBe(200);
    expect((await own.witness.seen(log.origin))?.note).not.toContain('stranger');
  });

  test('signs nothing more where somebody has put another checkpoint into its memory', async () => {
    await post(body(0, 64));
    const [folder = ''] = readdirSync(join(own.folder, 'logs'));
    writeFileSync(join(own.folder, 'logs', folder, '000000000000.note'), log.note(3));
    expect((await post(body(3, 100))).status).toBe(500);
    expect(troubles).toEqual([expect.stringContaining('not what this witness has cosigned')]);
  });

  test('keeps a few files, however often it cosigns', async () => {
    for (let size = 1; size < 30; size++) expect((await post(body(size - 1, size))).status).toBe(200);
    const [folder = ''] = readdirSync(join(own.folder, 'logs'));
    expect(readdirSync(join(own.folder, 'logs', folder)).length).toBeLessThan(6);
  });
});

describe('the key of a witness', () => {
  test('is made once, readable by its owner alone, with its name beside it', async () => {
    expect(statSync(join(own.folder, 'witness-key.pem')).mode & 0o777).toBe(0o600);
    const text = readFileSync(join(own.folder, 'witness.vkey'), 'utf8').trim();
    expect(parseCosignerKey(text).keyId).toBe(cosignatureVerifier(own.key).keyId);
    expect(text).toBe(own.witness.verifierKey);
  });

  test('keeps its name for good', async () => {
    const folder = emptyFolder();
    await openWitnessKey(folder, 'acme.example/witness');
    expect((await openWitnessKey(folder, null)).name).toBe('acme.example/witness');
    await expect(openWitnessKey(folder, 'other')).rejects.toThrow(ConfigError);
    await expect(openWitnessKey(emptyFolder(), 'two words')).rejects.toThrow(ConfigError);
  });
});

describe('a request to a witness', () => {
  test('survives the way in and out', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 63 }),
        (oldSize, raw) => {
          const request = { oldSize, proof: raw.map((hash) => Buffer.from(hash)), note: log.note(3) };
          expect(parseAddCheckpoint(encodeAddCheckpoint(request))).toEqual(request);
          expect(parseAddCheckpoint(Buffer.from(encodeAddCheckpoint(request)))).toEqual(request);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('is refused with 64 hashes, or with a hash that is none', () => {
    const lines = (count: number) => `${'A'.repeat(43)}=\n`.repeat(count);
    expect(parseAddCheckpoint(`old 1\n${lines(63)}\nnote`).proof).toHaveLength(63);
    expect(() => parseAddCheckpoint(`old 1\n${lines(64)}\nnote`)).toThrow(refused);
    expect(() => parseAddCheckpoint(`old 1\n${lines(1).slice(1)}\nnote`)).toThrow(refused);
  });
});
