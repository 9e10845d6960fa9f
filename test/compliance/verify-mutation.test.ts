import { hash, generateKeyPairSync } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { canonicalJson } from '#schema/canonical-json.ts';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { Frontier } from '#schema/merkle.ts';
import { parseVerifierKey } from '#schema/signed-note.ts';
import { readSegment } from '../../compliance/segment.ts';
import { segmentKey, signManifest, withOwnHash, type Manifest } from '../../compliance/manifest.ts';
import { verifyArchive } from '../../compliance/verify/archive.ts';
import { keyOf, verifyArchive as verifyAlone } from '../../compliance/verifier/tenon-verify.mjs';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { memorySource, singleFileSource } from './memory-source.ts';
import { sealLogs } from './sealed-logs.ts';
import { makeTicks } from './platform-fixture.ts';
import { checkpointOf, makeLog, OTHER_TENANT, type MadeLog } from './verify-fixture.ts';

/** What is done to an archive: the touched files with their new bytes or null, and the first entry that it spoils. */
interface Mutated {
  readonly changes: ReadonlyMap<string, Buffer | null>;
  /** Undefined where it cannot be told from outside. */
  readonly seq?: number;
}
type Random = (below: number) => number;
type Mutation = (random: Random) => Mutated;

/** Park and Miller's minimal standard generator: every run meets the same places. */
function generator(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

const pick = <T>(items: readonly T[], random: Random): T => {
  const item = items[random(items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
};

const packed = (lines: readonly string[]) => gzipSync(lines.map((line) => `${line}\n`).join(''));

const logs: MadeLog[] = [];
const files = new Map<string, Buffer>();
/** Of the platform logs, which the first part goes without. */
const ticks = new Map<string, Buffer>();
const notes: string[] = [];

beforeAll(async () => {
  logs.push(
    // The worker's sequencer and sealer write the first two; nothing there makes a second epoch or region on purpose.
    ...(await sealLogs([
      [9, 1],
      [4, 10],
      [12, 6],
    ])),
    await makeLog({ counts: [7, 8], epoch: 2 }),
    await makeLog({ counts: [3, 5], tenant: OTHER_TENANT, region: 'us' }),
  );
  for (const log of logs) {
    for (const [key, bytes] of log.files) files.set(key, bytes);
    notes.push(checkpointOf(log));
  }
  for (const region of ['eu', 'us']) {
    const own = logs.filter(({ name }) => name.region === region);
    for (const [key, bytes] of await makeTicks(own, region)) ticks.set(key, bytes);
  }
});

interface Place {
  readonly log: MadeLog;
  readonly manifest: Manifest;
  readonly key: string;
  readonly lines: string[];
  /** Index of a line. */
  readonly at: number;
}

function place(random: Random): Place {
  const log = pick(logs, random);
  const { manifest } = pick(log.manifests, random);
  const { key } = manifest.segment;
  const lines = gunzipSync(files.get(key) ?? Buffer.alloc(0))
    .toString()
    .trimEnd()
    .split('\n');
  return { log, manifest, key, lines, at: random(lines.length) };
}

/** Changes the lines of a segment, and packs them under the old name. */
function repacked(
  random: Random,
  change: (lines: string[], at: number) => { lines: string[]; bad: number } | null,
): Mutated {
  const { manifest, key, lines, at } = place(random);
  const changed = change(lines, at);
  if (changed === null) return { changes: new Map() };
  return { changes: new Map([[key, packed(changed.lines)]]), seq: manifest.first_seq + changed.bad };
}

const anyFile = (random: Random, of: ReadonlyMap<string, Buffer> = files): [string, Buffer] => pick([...of], random);

const another = generateKeyPairSync('ed25519').privateKey;

/** Makes a segment and its manifest anew, in every word consistent with each other, and signed by somebody else. */
function forged(random: Random, change: (lines: string[], at: number) => string[] | null): Mutated {
  const { log, manifest, key, lines, at } = place(random);
  const start = log.starts[manifest.number];
  if (start === undefined) throw new Error('every segment has a start');
  const frontier = Frontier.fromJSON(start);
  let prev = manifest.first_prev;
  const changed = change(lines, at);
  if (changed === null) return { changes: new Map() };
  const made = changed.map((line, index) => {
    const entry = { ...JSON.parse(line), seq: start.size + index, prev };
    const bytes = Buffer.from(canonicalJson(entry));
    prev = hash('sha256', Buffer.concat([Buffer.of(0), bytes]), 'hex');
    return bytes;
  });
  const segment = readSegment(made, { frontier, prev: manifest.first_prev });
  const gz = gzipSync(segment.bytes);
  const facts = {
    ...manifest,
    count: made.length,
    last_leaf: segment.lastLeaf,
    size_after: frontier.size,
    root_after: frontier.root().toString('hex'),
    first_ts: segment.entries[0]?.event.ts ?? '',
    last_ts: segment.entries.at(-1)?.event.ts ?? '',
    segment: {
      key: segmentKey(log.name, manifest.number),
      size_bytes: segment.bytes.length,
      sha256: segment.sha256,
      gz_size_bytes: gz.length,
      gz_sha256: hash('sha256', gz, 'hex'),
    },
  };
  const { v: _v, origin: _o, keys: _k, checkpoint: _c, own_sha256: _h, ...own } = facts;
  const signed = signManifest(log.name, own, { name: TEST_SIGNING_KEY.name, privateKey: another });
  const { own_sha256: _s, ...words } = signed.manifest;
  const old = log.manifests[manifest.number]?.key ?? '';
  // Half of them keep the signature that was there, over another root.
  const text =
    random(2) === 0
      ? signed.text
      : canonicalJson(withOwnHash({ ...words, keys: manifest.keys, checkpoint: manifest.checkpoint }));
  const changes = new Map<string, Buffer | null>([
    [key, null],
    [facts.segment.key, gz],
    [old, Buffer.from(text)],
  ]);
  return { changes, seq: manifest.first_seq };
}

const altered = (line: string, random: Random): string => {
  const column = random(line.length);
  return line.slice(0, column) + (line[column] === 'a' ? 'b' : 'a') + line.slice(column + 1);
};

const MUTATIONS: Readonly<Record<string, { rounds: number; mutate: Mutation }>> = {
  'a flipped bit': {
    rounds: 500,
    mutate: (random) => {
      const [key, bytes] = anyFile(random);
      const changed = Buffer.from(bytes);
      const at = random(changed.length);
      changed.writeUInt8(changed.readUInt8(at) ^ (1 << random(8)), at);
      return { changes: new Map([[key, changed]]) };
    },
  },
  'an inserted byte': {
    rounds: 250,
    mutate: (random) => {
      const [key, bytes] = anyFile(random);
      const at = random(bytes.length + 1);
      const changed = Buffer.concat([bytes.subarray(0, at), Buffer.of(random(256)), bytes.subarray(at)]);
      return { changes: new Map([[key, changed]]) };
    },
  },
  'a truncated file': {
    rounds: 200,
    mutate: (random) => {
      const [key, bytes] = anyFile(random);
      return { changes: new Map([[key, bytes.subarray(0, random(bytes.length))]]) };
    },
  },
  'a dropped file': { rounds: 60, mutate: (random) => ({ changes: new Map([[anyFile(random)[0], null]]) }) },
  "two files with each other's content": {
    rounds: 100,
    mutate: (random) => {
      const [one, bytes] = anyFile(random);
      const [other, otherBytes] = anyFile(random);
      return { changes: new Map([[one, otherBytes], [other, bytes]]) }; // prettier-ignore
    },
  },
  'a manifest under a name that is none': {
    rounds: 100,
    mutate: (random) => {
      const [key, bytes] = anyFile(random, new Map([...files].filter(([name]) => name.includes('/man/'))));
      const name = key.replace('.json', `-${random(0x10000).toString(16).padStart(4, '0')}.json`);
      return { changes: new Map([[name, bytes]]) };
    },
  },
  'a dropped entry': {
    rounds: 150,
    mutate: (random) => repacked(random, (lines, at) => ({ lines: lines.toSpliced(at, 1), bad: at })),
  },
  'a doubled entry': {
    rounds: 100,
    mutate: (random) =>
      repacked(random, (lines, at) => ({ lines: lines.toSpliced(at, 0, lines[at] ?? ''), bad: at + 1 })),
  },
  'an entry of another place': {
    rounds: 100,
    mutate: (random) => {
      const { lines: others, at: from } = place(random);
      return repacked(random, (lines, at) =>
        lines.includes(others[from] ?? '') ? null : { lines: lines.toSpliced(at, 0, others[from] ?? ''), bad: at },
      );
    },
  },
  'two swapped entries': {
    rounds: 150,
    mutate: (random) =>
      repacked(random, (lines, at) => {
        const [one, other] = [lines[at], lines[at + 1]];
        return one === undefined || other === undefined ? null : { lines: lines.toSpliced(at, 2, other, one), bad: at };
      }),
  },
  'a changed character of an entry': {
    rounds: 300,
    mutate: (random) =>
      repacked(random, (lines, at) => ({ lines: lines.with(at, altered(lines[at] ?? '', random)), bad: at })),
  },
  'a cut-off end': {
    rounds: 40,
    mutate: (random) => {
      const log = pick(logs, random);
      const from = random(log.manifests.length);
      const gone = [...log.files.keys()].filter((key) => Number(/\/(\d{9})\./.exec(key)?.[1]) >= from);
      return { changes: new Map(gone.map((key) => [key, null])) };
    },
  },
  'entries written anew and signed with another key': {
    rounds: 200,
    mutate: (random) => forged(random, (lines, at) => lines.with(at, (lines[at] ?? '').replace('"doc_', '"dok_'))),
  },
  'an entry left out and all signed with another key': {
    rounds: 100,
    mutate: (random) => forged(random, (lines, at) => (lines.length === 1 ? null : lines.toSpliced(at, 1))),
  },
};

describe('of an archive of several tenants, regions and epochs', () => {
  const keys = [parseVerifierKey(TEST_SIGNING_KEY.verifierKey)];
  const aloneKeys = [keyOf(TEST_SIGNING_KEY.verifierKey)];

  const answers = async (changes: Mutated['changes'], within: ReadonlyMap<string, Buffer> = files) => {
    const changed = new Map(within);
    for (const [key, bytes] of changes) {
      if (bytes === null) changed.delete(key);
      else changed.set(key, bytes);
    }
    const heads = notes.map((note) => parseCheckpoint(note.slice(0, note.lastIndexOf('\n\n') + 1)));
    const ours = await verifyArchive({
      source: memorySource(changed),
      path: '',
      keys,
      heads,
      onProgress: () => undefined,
    });
    const alone = verifyAlone(singleFileSource(changed), { keys: aloneKeys, checkpoints: notes });
    return [ours, alone].map(({ integrity, completeness }) => ({
      integrity: integrity.verdict,
      completeness: completeness.verdict,
      file: (integrity.place ?? completeness.place)?.file ?? null,
      seq: (integrity.place ?? completeness.place)?.seq ?? null,
    }));
  };

  it('the archive itself passes, with both verifiers', async () => {
    const passed = { integrity: 'pass', completeness: 'pass', file: null, seq: null };
    expect(await answers(new Map())).toEqual([passed, passed]);
  });

  it('more than 2,000 places are tried', () => {
    const rounds = Object.values(MUTATIONS).reduce((sum, { rounds: each }) => sum + each, 0);
    expect(rounds).toBeGreaterThanOrEqual(2000);
  });

  it.each(Object.entries(MUTATIONS))(
    '%s is found by both verifiers, and its place where there is one',
    async (name, { rounds, mutate }) => {
      const random = generator(name.length * 7919);
      const missed: unknown[] = [];
      let tried = 0;
      for (let round = 0; round < rounds; round++) {
        const { changes: all, seq } = mutate(random);
        const changes = new Map(
          [...all].filter(([key, bytes]) => bytes === null || files.get(key)?.equals(bytes) !== true),
        );
        if (changes.size === 0) continue;
        tried += 1;
        const found = await answers(changes);
        const isFound = found.every(({ integrity, completeness }) => integrity === 'fail' || completeness === 'fail');
        // The single file ends a log at its first fault, so of several places it may name another.
        const isPlaced = seq === undefined || found.every((answer) => answer.seq === seq);
        if (!isFound || !isPlaced) missed.push({ keys: [...changes.keys()], seq, found });
      }
      expect(missed).toEqual([]);
      expect(tried).toBeGreaterThan(rounds / 2);
    },
  );

  it('with platform logs passes too, and any change of a tick is found by tenon verify', async () => {
    const whole = new Map([...files, ...ticks]);
    const passed = { integrity: 'pass', completeness: 'pass', file: null, seq: null };
    expect(await answers(new Map(), whole)).toEqual([passed, passed]);
    const random = generator(4711);
    const missed: unknown[] = [];
    for (let round = 0; round < 250; round++) {
      const [key, bytes] = anyFile(random, ticks);
      const at = random(bytes.length);
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(bytes.readUInt8(at) ^ (1 << random(8)), at);
      const change = pick([flipped, bytes.subarray(0, at), null, anyFile(random, ticks)[1]], random);
      // Header bytes of gzip say nothing of what is inside, which alone is signed.
      if (change?.equals(bytes) === true || (change === flipped && isSameInside(change, bytes))) continue;
      // The single file looks at tenants' logs alone, and says so.
      const [found] = await answers(new Map([[key, change]]), whole);
      if (found?.integrity !== 'fail' && found?.completeness !== 'fail') missed.push({ key, at, found });
    }
    expect(missed).toEqual([]);
  });
});

function isSameInside(one: Buffer, other: Buffer): boolean {
  try {
    return gunzipSync(one).equals(gunzipSync(other));
  } catch {
    return false;
  }
}
