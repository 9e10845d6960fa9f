import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_MAX_BYTES, readManifest, type ManifestReading } from '#schema/operation-manifest.ts';

/** A file of a folder of manifests, read. */
export interface ManifestFile extends ManifestReading {
  readonly file: string;
  /** The client whose operations they are: the file's name without `.json`. */
  readonly client: string;
}

const MANIFEST_FILE = /^([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.json$/;

/**
 * Reads the manifest `<client>.json` of every client in a folder, in the order of their names; files with another ending
 * are passed over. What is wrong with a file or an operation stands among the faults of its file.
 */
export async function readManifestFolder(folder: string): Promise<readonly ManifestFile[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json')).toSorted();
  return Promise.all(files.map((file) => readManifestFile(folder, file)));
}

async function readManifestFile(folder: string, file: string): Promise<ManifestFile> {
  const client = MANIFEST_FILE.exec(file)?.[1];
  if (client === undefined) return faulty(file, 'the name must be a client and ".json"');
  const path = join(folder, file);
  const { size } = await stat(path);
  if (size > MANIFEST_MAX_BYTES) return faulty(file, `${size} bytes, at most ${MANIFEST_MAX_BYTES} are allowed`);
  return { file, client, ...readManifest(await readFile(path, 'utf8'), client) };
}

function faulty(file: string, reason: string): ManifestFile {
  return { file, client: '', operations: [], faults: [{ id: null, name: null, reason }] };
}
