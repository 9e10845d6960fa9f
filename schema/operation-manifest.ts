import { Kind, OperationTypeNode, parse } from 'graphql';
import type { DocumentNode, OperationDefinitionNode } from 'graphql';
import objectHash from 'object-hash';
import { TenonError } from './errors.ts';
import { isObject } from './json-object.ts';
import { isSha256Key, operationKey, sha256Hex } from './operation-id.ts';
import { countTokens } from './operation-limits.ts';

/** What a registered operation may do. */
export type OperationKind = 'query' | 'mutation';

/** One operation of a manifest, parsed and not yet held against a schema. */
export interface ManifestOperation {
  /** As the manifest writes it. */
  readonly id: string;
  /** The one form under which it is kept; see operationKey. */
  readonly key: string;
  /** The name in the document; null where the operation has none. */
  readonly name: string | null;
  readonly kind: OperationKind;
  /** The document's source, to the byte. */
  readonly body: string;
  readonly document: DocumentNode;
  /** The highest cost in whole points that the manifest itself allows; null where it is silent. */
  readonly maxCost: number | null;
}

/** Why an operation, or with a null id the manifest as a whole, cannot be taken. */
export interface ManifestFault {
  readonly id: string | null;
  readonly name: string | null;
  readonly reason: string;
}

/** What a manifest holds; one with a fault is refused as a whole, so that nobody finds half of her operations missing. */
export interface ManifestReading {
  readonly operations: readonly ManifestOperation[];
  readonly faults: readonly ManifestFault[];
}

/** Characters of a manifest; the default limit of a request body is not far above it. */
export const MANIFEST_MAX_BYTES = 1024 * 1024;
/** Operations of a manifest: more than any client's build writes, few enough for one transaction. */
export const MANIFEST_MAX_OPERATIONS = 1_000;
const DOCUMENT_MAX_BYTES = 64 * 1024;
const DOCUMENT_MAX_TOKENS = 10_000;
const APOLLO_FORMAT = 'apollo-persisted-query-manifest';

/**
 * Reads the manifest of a client: Apollo's `apollo-persisted-query-manifest` version 1, whose operations may also say
 * `maxCost`, or Relay's `{id: document}` or `[[id, document], ...]`. Hostile input: never throws; what is wrong comes
 * back as faults, every one of them.
 *
 * An operation is one document of at most 64 KiB with exactly one query or mutation; an id is one of GraphQL-over-HTTP,
 * stands once, and where it is a SHA-256 it is the document's. An operation of Apollo's format has the name and type
 * that the manifest gives it, and no other client.
 */
export function readManifest(text: string, client: string): ManifestReading {
  if (Buffer.byteLength(text, 'utf8') > MANIFEST_MAX_BYTES) return refused(`more than ${MANIFEST_MAX_BYTES} bytes`);
  const entries = entriesOf(text);
  if (typeof entries === 'string') return refused(entries);
  if (entries.length > MANIFEST_MAX_OPERATIONS) return refused(`more than ${MANIFEST_MAX_OPERATIONS} operations`);
  const operations = new Map<string, ManifestOperation>();
  const faults: ManifestFault[] = [];
  for (const entry of entries) {
    const read = readEntry(entry, client);
    if ('reason' in read) faults.push(read);
    else if (operations.has(read.key)) faults.push({ id: read.id, name: read.name, reason: 'the id is there twice' });
    else operations.set(read.key, read);
  }
  return { operations: [...operations.values()], faults };
}

/** Returns the hash of a client's operations: the same for the same ids and documents in whatever order and format. */
export function manifestFingerprint(
  client: string,
  operations: readonly Pick<ManifestOperation, 'key' | 'body'>[],
): string {
  const bodies = Object.fromEntries(operations.map(({ key, body }) => [key, body]));
  return objectHash({ client, operations: bodies }, { algorithm: 'sha256', respectType: false });
}

/** Returns a fault as one line, such as `"GetUser" (a1b2): the id is there twice`. */
export function faultLine({ id, name, reason }: ManifestFault): string {
  const shownId = id === null ? '' : id.slice(0, 100);
  if (name === null) return id === null ? reason : `${JSON.stringify(shownId)}: ${reason}`;
  return `${name.slice(0, 100)} (${JSON.stringify(shownId)}): ${reason}`;
}

/** An entry of either format; what is none of them is undefined in its parts. */
interface Entry {
  readonly id: unknown;
  readonly body: unknown;
  /** What Apollo's format says beside. */
  readonly declared?: Readonly<Record<string, unknown>>;
}

function refused(reason: string): ManifestReading {
  return { operations: [], faults: [{ id: null, name: null, reason }] };
}

/** Returns the entries, or the sentence that refuses the manifest. */
function entriesOf(text: string): readonly Entry[] | string {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return 'not JSON';
  }
  if (Array.isArray(json)) return json.map(relayEntry);
  if (!isObject(json)) return 'neither an object nor a list';
  if (!Object.hasOwn(json, 'format')) return Object.entries(json).map(relayEntry);
  if (json['format'] !== APOLLO_FORMAT || json['version'] !== 1) return 'unknown format or version';
  const { operations } = json;
  return Array.isArray(operations) ? operations.map(apolloEntry) : '"operations" must be a list';
}

function relayEntry(pair: unknown): Entry {
  const [id, body]: unknown[] = Array.isArray(pair) && pair.length === 2 ? pair : [];
  return { id, body };
}

function apolloEntry(operation: unknown): Entry {
  if (!isObject(operation)) return { id: undefined, body: undefined };
  return { id: operation['id'], body: operation['body'], declared: operation };
}

function readEntry({ id, body, declared }: Entry, client: string): ManifestOperation | ManifestFault {
  if (typeof id !== 'string' || typeof body !== 'string') {
    return { id: typeof id === 'string' ? id : null, name: null, reason: 'an entry without id or document' };
  }
  const fault = (reason: string): ManifestFault => ({ id, name: nameOf(declared), reason });
  const key = operationKey(id);
  if (key === null) return fault('not a document id of GraphQL-over-HTTP');
  const bytes = Buffer.byteLength(body, 'utf8');
  if (bytes > DOCUMENT_MAX_BYTES) return fault(`${bytes} bytes, at most ${DOCUMENT_MAX_BYTES} are allowed`);
  if (!body.isWellFormed() || body.includes('\0')) return fault('the document is not Unicode text');
  if (isSha256Key(key) && sha256Hex(body) !== key) return fault('the id is not the SHA-256 of the document');
  const document = parsed(body);
  if (typeof document === 'string') return fault(document);
  const operation = onlyOperation(document);
  if (typeof operation === 'string') return fault(operation);
  const contradiction = contradictionOf(operation, declared ?? {}, client);
  if (contradiction !== null) return fault(contradiction);
  return { id, key, ...operation, body, document, maxCost: maxCostOf(declared) };
}

function parsed(body: string): DocumentNode | string {
  try {
    // Also bounds the nesting, which would exhaust the parser's stack.
    countTokens(body, DOCUMENT_MAX_TOKENS);
    return parse(body);
  } catch (thrown) {
    return thrown instanceof TenonError ? thrown.publicMessage : (thrown as Error).message;
  }
}

function onlyOperation(document: DocumentNode): Pick<ManifestOperation, 'name' | 'kind'> | string {
  const found = document.definitions.filter(
    (definition): definition is OperationDefinitionNode => definition.kind === Kind.OPERATION_DEFINITION,
  );
  const [operation] = found;
  if (operation === undefined || found.length > 1) return `${found.length} operations in the document, it takes one`;
  const name = operation.name?.value ?? null;
  if (operation.operation === OperationTypeNode.SUBSCRIPTION) return 'subscriptions cannot be registered';
  return { name, kind: operation.operation === OperationTypeNode.MUTATION ? 'mutation' : 'query' };
}

function contradictionOf(
  operation: Pick<ManifestOperation, 'name' | 'kind'>,
  declared: Readonly<Record<string, unknown>>,
  client: string,
): string | null {
  const { name, type, clientName, maxCost } = declared;
  if (clientName !== undefined && clientName !== null && clientName !== client) {
    return 'the operation belongs to another client';
  }
  if (maxCost !== undefined && maxCost !== null && !isCost(maxCost)) return '"maxCost" takes a whole number from 1 on';
  const isSame = (name ?? null) === operation.name && type === operation.kind;
  return 'body' in declared && !isSame ? 'the document has no operation of that name and type' : null;
}

function nameOf(declared: Entry['declared']): string | null {
  const name = declared?.['name'];
  return typeof name === 'string' ? name : null;
}

function maxCostOf(declared: Entry['declared']): number | null {
  const maxCost = declared?.['maxCost'];
  return isCost(maxCost) ? maxCost : null;
}

function isCost(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value < 2 ** 31;
}
