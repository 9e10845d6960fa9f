import { compose } from '#kit/composition.ts';
import { openDatabases } from '#kit/database.ts';
import { readConfig } from '#schema/config.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { parseContextKeys } from '#schema/tenant-context.ts';
import type { Id } from '#schema/ids.ts';
import { subgraphs } from '#subgraphs';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { buildEvidencePack } from '../../compliance/evidence/pack.ts';
import type { EvidenceBuilder } from '../../compliance/evidence/pack-scope.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { DATA_KEYS } from '../support/data-keys.ts';

/** What the parent hands over: a pack is built in another process, with another time zone, from the same stores. */
export interface ChildOrder {
  readonly directoryUrl: string;
  readonly cells: readonly CellSettings[];
  /** The file form of the context keys. */
  readonly contextKeys: string;
  readonly archiveFolder: string;
  /** Of the parent: its files may be worked on meanwhile. */
  readonly generator: NonNullable<EvidenceBuilder['generator']>;
  readonly tenant: Id<'tnt'>;
  readonly from: string;
  readonly to: string;
}

const order = JSON.parse(process.argv[2] ?? '') as ChildOrder;
const { directoryUrl, cells } = order;
const databases = await openDatabases({
  directoryUrl,
  cells,
  keys: parseContextKeys(order.contextKeys),
  dataKeys: DATA_KEYS,
  entities: [],
  poolSize: 8,
});
const archive = await filesystemArchive({ folder: order.archiveFolder, clock: () => new Date() });
const { stream, done } = buildEvidencePack({
  platform: { config: readConfig({ PORT: '0' }), databases, clock: () => new Date(), publicUrl: 'http://tenon.test' },
  archiveOf: () => archive,
  signingKey: TEST_SIGNING_KEY,
  personalData: [],
  supergraph: { sdl: compose(subgraphs) },
  log: () => undefined,
  generator: order.generator,
  tenant: order.tenant,
  kind: 'soc2',
  window: { from: new Date(order.from), to: new Date(order.to) },
});
stream.resume();
const { sha256 } = await done;
await databases.close();
process.stdout.write(`${sha256.toString('hex')} ${new Date(0).getTimezoneOffset()}`);
