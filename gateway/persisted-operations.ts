import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Kind, parse, validate } from 'graphql';
import type { DefinitionNode, DocumentNode, GraphQLSchema } from 'graphql';
import objectHash from 'object-hash';
import { fail } from '#schema/errors.ts';
import { isSha256Key, operationKey, sha256Hex } from '#schema/operation-id.ts';
import { isObject } from '#schema/json-object.ts';

/** One operation that a client may run by its id. */
export interface PersistedOperation {
  /** As the manifest writes it. */
  readonly id: string;
  readonly source: string;
  /** Parsed, and valid against the schema it was loaded with. */
  readonly document: DocumentNode;
}

/** The registered operations of all clients. */
export interface PersistedOperations {
  /** Returns the client's own operation of that id, with or without `sha256:` before a hash, or null; never another client's. */
  find(client: string, documentId: string): PersistedOperation | null;
  /** The clients that have a manifest, even an empty one. */
  readonly clients: ReadonlySet<string>;
  /** Hash over all clients, ids and documents; the same for the same set in whatever order and format. */
  readonly fingerprint: string;
}

const MANIFEST_MAX_BYTES = 1024 * 1024;
const DOCUMENT_MAX_BYTES = 64 * 1024;
const MANIFEST_FILE = /^([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.json$/;
const APOLLO_FORMAT = 'apollo-persisted-query-manifest';

/**
 * Loads the manifest `<client>.json` of every client in a folder and checks every operation in it against the schema.
 * Reads Apollo's `apollo-persisted-query-manifest` version 1 and Relay's `{id: document}` or `[[id, document], ...]`.
 *
 * A file of more than 1 MiB, a document of more than 64 KiB, an id twice, a SHA-256 id that is not the document's, and
 * a document that does not parse or validate fail the whole load with INTERNAL_SERVER_ERROR naming file and id: a
 * partner never finds half of her operations missing.
 */
export async function loadPersistedOperations(from: {
  folder: string;
  schema: GraphQLSchema;
}): Promise<PersistedOperations> {
  const byClient = new Map<string, ReadonlyMap<string, PersistedOperation>>();
  for (const file of (await readdir(from.folder)).toSorted()) {
    if (!file.endsWith('.json')) continue;
    const client = MANIFEST_FILE.exec(file)?.[1] ?? refuse({ file }, 'the name must be a client and ".json"');
    byClient.set(client, readManifest({ file, client, schema: from.schema }, await readText(from.folder, file)));
  }
  return {
    find(client, documentId) {
      const key = operationKey(documentId);
      return key === null ? null : (byClient.get(client)?.get(key) ?? null);
    },
    clients: new Set(byClient.keys()),
    fingerprint: fingerprintOf(byClient),
  };
}

interface Manifest {
  readonly file: string;
  readonly client: string;
  readonly schema: GraphQLSchema;
}

interface Entry {
  readonly id: string;
  readonly source: string;
  /** What Apollo's format says beside: the operation's name and type. */
  readonly declared?: { readonly name: unknown; readonly type: unknown };
}

async function readText(folder: string, file: string): Promise<string> {
  const path = join(folder, file);
  const { size } = await stat(path);
  if (size > MANIFEST_MAX_BYTES) refuse({ file }, `${size} bytes, at most ${MANIFEST_MAX_BYTES} are allowed`);
  return readFile(path, 'utf8');
}

function readManifest(manifest: Manifest, text: string): ReadonlyMap<string, PersistedOperation> {
  const operations = new Map<string, PersistedOperation>();
  for (const entry of entriesOf(manifest, jsonOf(manifest, text))) {
    const where = { file: manifest.file, id: entry.id };
    const key = operationKey(entry.id) ?? refuse(where, 'not a document id of GraphQL-over-HTTP');
    if (operations.has(key)) refuse(where, 'the id is there twice');
    const bytes = Buffer.byteLength(entry.source, 'utf8');
    if (bytes > DOCUMENT_MAX_BYTES) refuse(where, `${bytes} bytes, at most ${DOCUMENT_MAX_BYTES} are allowed`);
    if (isSha256Key(key) && sha256Hex(entry.source) !== key) refuse(where, 'the id is not the SHA-256 of the document');
    operations.set(key, { id: entry.id, source: entry.source, document: checkedDocument(manifest, entry) });
  }
  return operations;
}

function jsonOf({ file }: Manifest, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    return refuse({ file }, 'not JSON', thrown);
  }
}

function entriesOf(manifest: Manifest, json: unknown): Entry[] {
  if (Array.isArray(json)) return json.map((pair: unknown) => relayEntry(manifest, pair));
  if (!isObject(json)) return refuse(manifest, 'neither an object nor a list');
  if (!Object.hasOwn(json, 'format')) return Object.entries(json).map((pair) => relayEntry(manifest, pair));
  if (json['format'] !== APOLLO_FORMAT || json['version'] !== 1) refuse(manifest, 'unknown format or version');
  const { operations } = json;
  if (!Array.isArray(operations)) return refuse(manifest, '"operations" must be a list');
  return operations.map((operation: unknown) => apolloEntry(manifest, operation));
}

function relayEntry(manifest: Manifest, pair: unknown): Entry {
  const [id, source]: unknown[] = Array.isArray(pair) && pair.length === 2 ? pair : [];
  if (typeof id !== 'string' || typeof source !== 'string') return refuse(manifest, 'an entry is no [id, document]');
  return { id, source };
}

function apolloEntry(manifest: Manifest, operation: unknown): Entry {
  if (!isObject(operation)) return refuse(manifest, 'an operation is no object');
  const { id, body, name, type, clientName } = operation;
  if (typeof id !== 'string' || typeof body !== 'string') return refuse(manifest, 'an operation without id or body');
  if (clientName !== undefined && clientName !== null && clientName !== manifest.client) {
    refuse({ file: manifest.file, id }, 'the operation belongs to another client');
  }
  return { id, source: body, declared: { name, type } };
}

function checkedDocument(manifest: Manifest, entry: Entry): DocumentNode {
  const document = parsedAndValid(manifest, entry);
  if (entry.declared !== undefined && !document.definitions.some((definition) => isDeclared(definition, entry))) {
    refuse({ file: manifest.file, id: entry.id }, 'the document has no operation of that name and type');
  }
  return document;
}

function parsedAndValid(manifest: Manifest, entry: Entry): DocumentNode {
  const where = { file: manifest.file, id: entry.id };
  let document: DocumentNode;
  let fault: string | undefined;
  try {
    document = parse(entry.source);
    fault = validate(manifest.schema, document, undefined, { maxErrors: 1 })[0]?.message;
  } catch (thrown) {
    // A document nested without end exhausts the parser's stack: refused like any other that does not parse.
    return refuse(where, thrown instanceof Error ? thrown.message : 'cannot be parsed', thrown);
  }
  return fault === undefined ? document : refuse(where, fault);
}

function isDeclared(definition: DefinitionNode, entry: Entry): boolean {
  return (
    definition.kind === Kind.OPERATION_DEFINITION &&
    definition.name?.value === entry.declared?.name &&
    definition.operation === entry.declared?.type
  );
}

function fingerprintOf(byClient: ReadonlyMap<string, ReadonlyMap<string, PersistedOperation>>): string {
  const sources = [...byClient].map(([client, operations]) => [
    client,
    Object.fromEntries([...operations].map(([key, operation]) => [key, operation.source])),
  ]);
  return objectHash(Object.fromEntries(sources), { algorithm: 'sha256', respectType: false });
}

function refuse(where: { file: string; id?: string }, reason: string, cause?: unknown): never {
  const operation = where.id === undefined ? '' : `: operation ${JSON.stringify(where.id.slice(0, 100))}`;
  return fail('INTERNAL_SERVER_ERROR', `persisted operations: ${where.file}${operation}: ${reason}`, { cause });
}
