import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { checkpointOf, makeLog, writeFiles, type MadeLog } from './verify-fixture.ts';

/** What is done to an archive; returns the keys it has touched, with their new bytes or null. */
type Mutation = (log: MadeLog, random: (below: number) => number) => Map<string, Buffer | null>;

const ROUNDS = 50;

const pick = <T>(items: readonly T[], random: (below: number) => number): T => {
  const item = items[random(items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
};

const anyFile = (log: MadeLog, random: (below: number) => number): [string, Buffer] => pick([...log.files], random);

const segmentOf = (log: MadeLog, random: (below: number) => number): [string, string[]] => {
  const [key, bytes] = pick(
    [...log.files].filter(([name]) => name.includes('/seg/')),
    random,
  );
  return [key, gunzipSync(bytes).toString().trimEnd().split('\n')];
};

const packed = (lines: readonly string[]) => gzipSync(lines.map((line) => `${line}\n`).join(''));

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  'a flipped bit': (log, random) => {
    const [key, bytes] = anyFile(log, random);
    const changed = Buffer.from(bytes);
    const at = random(changed.length);
    changed.writeUInt8(changed.readUInt8(at) ^ (1 << random(8)), at);
    return new Map([[key, changed]]);
  },
  'an inserted byte': (log, random) => {
    const [key, bytes] = anyFile(log, random);
    const at = random(bytes.length + 1);
    return new Map([[key, Buffer.concat([bytes.subarray(0, at), Buffer.of(random(256)), bytes.subarray(at)])]]);
  },
  'a truncated file': (log, random) => {
    const [key, bytes] = anyFile(log, random);
    return new Map([[key, bytes.subarray(0, random(bytes.length))]]);
  },
  'a dropped file': (log, random) => new Map([[anyFile(log, random)[0], null]]),
  "two files with each other's content": (log, random) => {
    const [one, bytes] = anyFile(log, random);
    const [other, otherBytes] = pick(
      [...log.files].filter(([key]) => key !== one),
      random,
    );
    return new Map([
      [one, otherBytes],
      [other, bytes],
    ]);
  },
  'a second file under the same number': (log, random) => {
    const [key, bytes] = anyFile(log, random);
    return new Map([[key.replace(/-[0-9a-f]{4}/, `-${random(0x10000).toString(16).padStart(4, '0')}`), bytes]]);
  },
  'a dropped entry': (log, random) => {
    const [key, lines] = segmentOf(log, random);
    return new Map([[key, packed(lines.toSpliced(random(lines.length), 1))]]);
  },
  'a doubled entry': (log, random) => {
    const [key, lines] = segmentOf(log, random);
    const at = random(lines.length);
    return new Map([[key, packed(lines.toSpliced(at, 0, lines[at] ?? ''))]]);
  },
  'two swapped entries': (log, random) => {
    const [key, lines] = segmentOf(log, random);
    const at = random(lines.length - 1);
    return new Map([[key, packed(lines.toSpliced(at, 2, lines[at + 1] ?? '', lines[at] ?? ''))]]);
  },
  'a changed character of an entry': (log, random) => {
    const [key, lines] = segmentOf(log, random);
    const at = random(lines.length);
    const line = lines[at] ?? '';
    const column = random(line.length);
    const character = line[column] === 'a' ? 'b' : 'a';
    return new Map([[key, packed(lines.toSpliced(at, 1, line.slice(0, column) + character + line.slice(column + 1)))]]);
  },
  'a cut-off end': (log, random) => {
    const from = 1 + random(log.manifests.length - 1);
    return new Map(
      [...log.files.keys()].filter((key) => Number(/\/(\d{9})-/.exec(key)?.[1]) >= from).map((key) => [key, null]),
    );
  },
};

/** Park and Miller's minimal standard generator: every run meets the same places. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

describe('of an archive with four segments', () => {
  let log: MadeLog;
  let folder: string;
  beforeAll(async () => {
    log = await makeLog({ counts: [40, 25, 60, 30] });
    folder = writeFiles(log.files);
  });

  const verdicts = async () => {
    const { integrity, completeness } = await verifyTarget(folder, {
      keys: [TEST_SIGNING_KEY.verifierKey],
      checkpoints: [checkpointOf(log)],
    });
    return { integrity, completeness };
  };

  it.each(Object.entries(MUTATIONS))(`${ROUNDS} times %s is found`, async (name, mutate) => {
    const random = generator(name.length * 7919);
    const missed: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const changes = [...mutate(log, random)].filter(
        ([key, bytes]) => bytes === null || log.files.get(key)?.equals(bytes) !== true,
      );
      for (const [key, bytes] of changes) {
        if (bytes === null) rmSync(join(folder, key));
        else writeFileSync(join(folder, key), bytes);
      }
      const { integrity, completeness } = await verdicts();
      const found = [integrity, completeness].filter(({ verdict }) => verdict === 'fail');
      if (changes.length > 0 && !found.some(({ place }) => place !== null && place.sentence !== ''))
        missed.push(changes.map(([key]) => key).join());
      for (const [key] of changes) {
        const bytes = log.files.get(key);
        if (bytes === undefined) rmSync(join(folder, key));
        else writeFileSync(join(folder, key), bytes);
      }
    }
    expect(missed).toEqual([]);
    expect(await verdicts()).toMatchObject({ integrity: { verdict: 'pass' }, completeness: { verdict: 'pass' } });
  });

  it('the first changed entry is named, whichever it is', async () => {
    const key = log.manifests[1]?.manifest.segment.key ?? '';
    const bytes = log.files.get(key) ?? Buffer.alloc(0);
    const lines = gunzipSync(bytes).toString().trimEnd().split('\n');
    const named: (number | null | undefined)[] = [];
    for (const [at, line] of lines.entries()) {
      writeFileSync(join(folder, key), packed(lines.toSpliced(at, 1, line.replace('"read"', '"Read"'))));
      named.push((await verdicts()).integrity.place?.seq);
    }
    writeFileSync(join(folder, key), bytes);
    expect(named).toEqual(lines.map((_, at) => 40 + at));
  });
});
