import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import yauzl from 'yauzl';
import { cellStoresOf } from '#kit/cell-stores.ts';
import { compose } from '#kit/composition.ts';
import { systemContext } from '#kit/credential.ts';
import { openDatabases } from '#kit/database.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { makeDemoTenants, subgraphs } from '#subgraphs';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { generatorOf } from '../../compliance/evidence/generator.ts';
import { buildEvidencePack } from '../../compliance/evidence/pack.ts';
import type { EvidenceBuilder, EvidenceRequest } from '../../compliance/evidence/pack-scope.ts';
import { startWorker } from '../../compliance/worker.ts';
import { createUser } from '../../subgraphs/identity/service.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

/** The platform of a test: two cells with the demo tenants, and a folder as archive for each. */
export interface EvidenceHouse {
  readonly stores: TestStores;
  /** Opened as the application. */
  readonly platform: Platform;
  readonly builder: EvidenceBuilder;
  readonly archives: Readonly<Record<string, Archive>>;
  readonly archiveFolder: string;
  readonly acme: Id<'tnt'>;
  readonly initech: Id<'tnt'>;
  /** A request of the platform itself in a tenant. */
  contextOf(tenant: Id<'tnt'>): Promise<RequestContext>;
  /** Makes a person with a session, by the same services that people use. */
  addPerson(tenant: Id<'tnt'>, userName: string): Promise<Id<'usr'>>;
  /** Moves every event into its log and seals all logs. */
  seal(): Promise<void>;
  build(
    request: Partial<EvidenceRequest> & Pick<EvidenceRequest, 'tenant'>,
    changes?: Partial<EvidenceBuilder>,
  ): Promise<Pack>;
}

/** A pack as it was built. */
export interface Pack {
  readonly bytes: Buffer;
  readonly sha256: string;
  /** Its files, by path. */
  readonly raw: ReadonlyMap<string, Buffer>;
  /** The same as text. */
  readonly files: ReadonlyMap<string, string>;
  /** Saves the zip, with some bytes changed where wanted, and returns its path. */
  save(change?: (bytes: Buffer) => Buffer): string;
}

/** A window that holds everything a test does. */
export const WINDOW = { from: new Date('2020-01-01T00:00:00Z'), to: new Date('2099-01-01T00:00:00Z') };

/** Opens the house; everything is closed when the test file ends. */
export async function openEvidenceHouse(): Promise<EvidenceHouse> {
  const stores = await makeStores();
  const folder = mkdtempSync(join(tmpdir(), 'tenon-evidence-test-'));
  const config = readConfig({ PORT: '0', TENON_HOME: folder });
  const clock = () => new Date();
  const entities = subgraphs.flatMap((subgraph) => subgraph.entities);
  const app = await stores.open(`file://${folder}`);
  const asWorker = stores.settingsFor('tenon_worker', `file://${folder}`);
  const worker = await openDatabases({ ...asWorker, keys: CONTEXT_KEYS, dataKeys: DATA_KEYS, entities, poolSize: 8 });
  afterAll(async () => {
    await Promise.all([app.close(), worker.close()]);
    rmSync(folder, { recursive: true, force: true });
  });
  const platform: Platform = { config, databases: app, clock, publicUrl: 'http://tenon.test' };
  const [acme, , initech] = await makeDemoTenants(platform);
  if (acme === undefined || initech === undefined) throw new Error('there are three demo tenants');
  const archives: Record<string, Archive> = {};
  for (const { name } of asWorker.cells)
    archives[name] = await filesystemArchive({ folder: join(folder, name), clock });
  const archiveOf = (cell: string): Archive => archives[cell] ?? never(`no archive of ${cell}`);
  const builder: EvidenceBuilder = {
    platform: { ...platform, databases: worker },
    archiveOf,
    signingKey: TEST_SIGNING_KEY,
    personalData: subgraphs.flatMap(({ name, personalData }) =>
      personalData === undefined ? [] : [{ subgraph: name, handler: personalData }],
    ),
    supergraph: { sdl: compose(subgraphs) },
    log: () => undefined,
    generator: await generatorOf(),
  };
  const contextOf = async (tenant: Id<'tnt'>) =>
    requestContext(platform, await systemContext(app, tenant, { name: 'test', requestId: mintId('req') }));
  return {
    stores,
    platform,
    builder,
    archives,
    archiveFolder: folder,
    acme: tenantId(acme.id),
    initech: tenantId(initech.id),
    contextOf,
    addPerson: async (tenant, userName) => {
      const ctx = await contextOf(tenant);
      const { id } = await createUser(ctx, { userName, displayName: userName, email: userName });
      return userId(id);
    },
    seal: async () => {
      const cells = asWorker.cells.map((cell) => ({ ...cell, archive: archiveOf(cell.name) }));
      const storesOf = (cell: string) => cellStoresOf(worker, cell);
      const running = startWorker({ cells, signer: TEST_SIGNING_KEY, clock, sealIntervalMs: 100, storesOf });
      // An event is ready when every transaction of the server that began before its own has ended, other tests' included.
      do await running.idle();
      while (await isWaiting(stores));
      await running.stop();
    },
    build: (request, changes = {}) =>
      build({ ...builder, ...changes, kind: 'soc2', window: WINDOW, ...request }, folder),
  };
}

async function isWaiting(stores: TestStores): Promise<boolean> {
  const counts = await Promise.all(
    (['eu-1', 'us-1'] as const).map((store) =>
      withClient(stores.url(store), (client) =>
        client.query<{ waits: boolean }>('select exists (select from app.outbox) as waits'),
      ),
    ),
  );
  return counts.some(({ rows }) => rows[0]?.waits === true);
}

async function build(options: EvidenceBuilder & EvidenceRequest, folder: string): Promise<Pack> {
  const { stream, done } = buildEvidencePack(options);
  const pieces: Buffer[] = [];
  for await (const piece of stream) if (Buffer.isBuffer(piece)) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  const { sha256 } = await done;
  const raw = await unzip(bytes);
  return {
    bytes,
    sha256: sha256.toString('hex'),
    raw,
    files: new Map([...raw].map(([path, content]) => [path, content.toString('utf8')])),
    save: (change = (same) => same) => {
      const path = join(folder, `${mintId('evd')}.zip`);
      writeFileSync(path, change(Buffer.from(bytes)));
      return path;
    },
  };
}

async function unzip(bytes: Buffer): Promise<Map<string, Buffer>> {
  const zip = await yauzl.fromBufferPromise(bytes);
  const files = new Map<string, Buffer>();
  for await (const entry of zip.eachEntry()) {
    const pieces: Buffer[] = [];
    for await (const piece of await zip.openReadStreamPromise(entry)) if (Buffer.isBuffer(piece)) pieces.push(piece);
    files.set(entry.fileName, Buffer.concat(pieces));
  }
  return files;
}

/** What the JSON files of packs hold; each has some of it. */
export interface PackJson {
  readonly omissions: readonly { readonly what: string; readonly why: string }[];
  readonly files: readonly { readonly path: string; readonly rows: number | null }[];
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly fields: Readonly<Record<string, object>>;
  readonly facts: object;
  readonly population: string;
  readonly count: number;
  readonly expected: number;
}

/** Reads a JSON file of a pack. */
export function jsonIn(pack: Pack, path: string): PackJson {
  return JSON.parse(pack.files.get(path) ?? never(`no ${path}`)) as PackJson;
}

/** Reads the rows of a population. */
export function rowsIn<T>(pack: Pack, name: string): T[] {
  const text = pack.files.get(`populations/${name}.ndjson`) ?? never(`no population ${name}`);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

function tenantId(text: string): Id<'tnt'> {
  uuidOf('tnt', text);
  return text as Id<'tnt'>;
}

function userId(text: string): Id<'usr'> {
  uuidOf('usr', text);
  return text as Id<'usr'>;
}

function never(what: string): never {
  throw new Error(what);
}
