import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { Frontier } from '#schema/merkle.ts';
import {
  encodePlatformEntry,
  encodePlatformHead,
  FIRST_PREV,
  platformLeaf,
  platformOrigin,
} from '#schema/platform-entry.ts';
import { signNote } from '#schema/signed-note.ts';
import { packTick, tickBytes } from '../../compliance/platform/tick-object.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import type { MadeLog } from './verify-fixture.ts';

/** Makes the ticks of a region's platform log over these logs: the n-th commits to each of them after its n-th segment. */
export async function makeTicks(logs: readonly MadeLog[], region: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const tree = new Frontier();
  const known = new Map<string, string>();
  let prev = FIRST_PREV;
  const count = Math.max(...logs.map(({ manifests }) => manifests.length));
  for (let number = 0; number < count; number++) {
    const changed = logs
      .flatMap(({ manifests }) => manifests[number]?.manifest ?? [])
      .map((manifest) => {
        const { origin, size_after: size, root_after: root } = manifest;
        const head = encodePlatformHead({ v: 1, origin, size, root, mutations: size, events: size });
        known.set(origin, head);
        return [origin, head] as const;
      });
    const heads = new Frontier();
    for (const [, head] of inOrder(known)) heads.append(platformLeaf(head));
    const entry = encodePlatformEntry({
      v: 1,
      number,
      at: `2026-03-02T00:0${number}:10.000Z`,
      prev,
      kind: 'heads',
      tenants: known.size,
      heads_root: heads.root().toString('hex'),
    });
    const leaf = platformLeaf(entry);
    tree.append(leaf);
    prev = leaf.toString('hex');
    const { name, privateKey } = TEST_SIGNING_KEY;
    const origin = platformOrigin({ deployment: name, cell: `${region}-1`, epoch: 1 });
    const checkpoint = signNote(encodeCheckpoint({ origin, size: tree.size, root: tree.root() }), { name, privateKey });
    const content = {
      v: 1,
      entries: [entry],
      heads: inOrder(new Map(changed)).map(([, head]) => head),
      checkpoint,
    } as const;
    const tick = tickBytes({ region, epoch: 1 }, number, content);
    files.set(tick.key, await packTick(tick.bytes));
  }
  return files;
}

function inOrder(heads: ReadonlyMap<string, string>): (readonly [string, string])[] {
  return [...heads].toSorted(([left], [right]) => (left < right ? -1 : 1));
}
