import type { DocumentNode, GraphQLSchema } from 'graphql';
import objectHash from 'object-hash';
import { readManifestFolder, type ManifestFile } from '#kit/manifest-folder.ts';
import { fail } from '#schema/errors.ts';
import { schemaFault } from '#schema/operation-check.ts';
import { operationKey, sha256Hex } from '#schema/operation-id.ts';
import { faultLine, manifestFingerprint, type OperationKind } from '#schema/operation-manifest.ts';

/** One operation of the platform's own that a client may run by its id. */
export interface PersistedOperation {
  /** As the manifest writes it. */
  readonly id: string;
  /** The one form under which it is found; see operationKey. */
  readonly key: string;
  readonly client: string;
  readonly name: string | null;
  readonly kind: OperationKind;
  readonly source: string;
  /** SHA-256 of the source, in hex. */
  readonly hash: string;
  /** Parsed, and valid against the schema it was loaded with. */
  readonly document: DocumentNode;
}

/** The platform's own operations, of all clients. */
export interface PersistedOperations {
  /** Returns the client's own operation of that id, with or without `sha256:` before a hash, or null; never another client's. */
  find(client: string, documentId: string): PersistedOperation | null;
  /** The clients that have a manifest, even an empty one. */
  readonly clients: ReadonlySet<string>;
  /** Every operation, for those who check or compile them beforehand. */
  readonly all: readonly PersistedOperation[];
  /** Hash over all clients, ids and documents; the same for the same set in whatever order and format. */
  readonly fingerprint: string;
}

/**
 * Loads the manifest `<client>.json` of every client in a folder (see readManifest for what one holds) and checks every
 * operation in it against the schema. Whatever is wrong with a file or an operation fails the whole load with
 * INTERNAL_SERVER_ERROR naming both: a partner never finds half of her operations missing.
 */
export async function loadPersistedOperations(from: {
  folder: string;
  schema: GraphQLSchema;
}): Promise<PersistedOperations> {
  const byClient = new Map<string, ReadonlyMap<string, PersistedOperation>>();
  for (const file of await readManifestFolder(from.folder)) {
    byClient.set(file.client, checkedOperations(file, from.schema));
  }
  const all = [...byClient.values()].flatMap((operations) => Array.from(operations.values()));
  return {
    find(client, documentId) {
      const key = operationKey(documentId);
      return key === null ? null : (byClient.get(client)?.get(key) ?? null);
    },
    clients: new Set(byClient.keys()),
    all,
    fingerprint: fingerprintOf(byClient),
  };
}

function checkedOperations(
  { file, client, operations, faults }: ManifestFile,
  schema: GraphQLSchema,
): ReadonlyMap<string, PersistedOperation> {
  const [first] = faults;
  if (first !== undefined) refuse(file, faultLine(first));
  return new Map(
    operations.map(({ id, key, name, kind, body, document }) => {
      const reason = schemaFault(schema, document);
      if (reason !== null) refuse(file, faultLine({ id, name, reason }));
      return [key, { id, key, client, name, kind, source: body, hash: sha256Hex(body), document }];
    }),
  );
}

function fingerprintOf(byClient: ReadonlyMap<string, ReadonlyMap<string, PersistedOperation>>): string {
  const fingerprints = [...byClient].map(([client, operations]) => [
    client,
    manifestFingerprint(
      client,
      [...operations.values()].map(({ key, source: body }) => ({ key, body })),
    ),
  ]);
  return objectHash(Object.fromEntries(fingerprints), { algorithm: 'sha256', respectType: false });
}

function refuse(file: string, reason: string): never {
  return fail('INTERNAL_SERVER_ERROR', `persisted operations: ${file}: ${reason}`);
}
