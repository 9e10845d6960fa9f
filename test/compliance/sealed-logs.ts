import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { leafHash, Frontier, type FrontierState } from '#schema/merkle.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { parseManifest, type SignedManifest } from '../../compliance/manifest.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { openTestCell } from './cell.ts';
import { log, sealer, sealing } from './sealing.ts';
import type { MadeLog } from './verify-fixture.ts';

/** Writes logs of two tenants by the sequencer and the sealer of the worker: segments of so many entries each. */
export async function sealLogs(counts: readonly (readonly [number, number])[]): Promise<MadeLog[]> {
  sealing.cell = await openTestCell();
  sealing.folder = mkdtempSync(join(sealing.cell.archiveFolder, 'case-'));
  sealing.now = new Date('2026-05-01T10:00:00Z');
  sealing.archive = await filesystemArchive({ folder: sealing.folder, clock: () => sealing.now });
  const tenants = [await sealing.cell.addTenant(), await sealing.cell.addTenant()] as const;
  const seal = sealer();
  for (const [first, second] of counts) {
    await log(first, { of: tenants[0] });
    await log(second, { of: tenants[1] });
    await seal();
    sealing.now = new Date(sealing.now.getTime() + 60_000);
  }
  return tenants.map((tenant) => readLog({ deployment: TEST_SIGNING_KEY.name, region: 'eu', tenant, epoch: 1 }));
}

function readLog(name: MadeLog['name']): MadeLog {
  const files = new Map<string, Buffer>();
  for (const file of readdirSync(join(sealing.folder, 'v1', name.region, name.tenant), {
    recursive: true,
    withFileTypes: true,
  })) {
    const path = join(file.parentPath, file.name);
    if (file.isFile() && /\.(?:gz|json)$/.test(file.name))
      files.set(relative(sealing.folder, path), readFileSync(path));
  }
  const manifests: SignedManifest[] = [...files.keys()]
    .filter((key) => key.includes('/man/'))
    .toSorted()
    .map((key) => {
      const bytes = files.get(key) ?? Buffer.alloc(0);
      return { key, text: bytes.toString(), manifest: parseManifest(bytes) };
    });
  const tree = new Frontier();
  const [starts, lines]: [FrontierState[], Buffer[]] = [[], []];
  for (const { manifest } of manifests) {
    starts.push(tree.toJSON());
    const bytes = gunzipSync(files.get(manifest.segment.key) ?? Buffer.alloc(0));
    for (const line of bytes.toString().trimEnd().split('\n')) {
      lines.push(Buffer.from(line));
      tree.append(leafHash(Buffer.from(line)));
    }
  }
  return { name, files, manifests, lines, leaves: lines.map(leafHash), starts };
}
