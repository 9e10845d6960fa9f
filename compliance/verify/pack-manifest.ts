import { parseCanonical } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { isId, type Id } from '#schema/ids.ts';

/** What the manifest of an evidence pack says; docs/formats.md tells every field. Hashes are lower-case hex. */
export interface PackManifest {
  readonly v: 1;
  readonly kind: 'soc2' | 'gdpr_access' | 'tenant_export';
  readonly deployment: string;
  readonly tenant: { readonly id: Id<'tnt'>; readonly slug: string; readonly region: string };
  /** The end is outside. */
  readonly window: { readonly from: string; readonly to: string };
  readonly generator: { readonly name: string; readonly version: string; readonly source_sha256: string };
  /** The newest signed head of the tenant's log when the pack was built; null where there was none. */
  readonly head: {
    readonly origin: string;
    readonly size: number;
    readonly root: string;
    readonly checkpoint: string;
  } | null;
  /** Every file of the pack but the manifest and its envelope, sorted by path. */
  readonly files: readonly PackFile[];
  readonly omissions: readonly { readonly what: string; readonly why: string }[];
}

/** One file of a pack. */
export interface PackFile {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Data rows of a table, without its header; null for other files. */
  readonly rows: number | null;
}

/** A pack with more has other troubles. */
export const MAX_PACK_MANIFEST_BYTES = 32 * 1024 * 1024;

const PATH = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;
const MAX_PATH_LENGTH = 1000;
const HASH_HEX = /^[0-9a-f]{64}$/;

/**
 * Returns the manifest whose canonical bytes these are. Only the shape is checked. Hostile input enters here: bytes that
 * are not canonical, another shape, paths that leave the pack, and files that are repeated or out of order are
 * BAD_USER_INPUT.
 */
export function parsePackManifest(bytes: Uint8Array): PackManifest {
  if (bytes.length > MAX_PACK_MANIFEST_BYTES) refuse(`it is longer than ${MAX_PACK_MANIFEST_BYTES} bytes`);
  const value: unknown = parseCanonical(bytes);
  if (!isPackManifest(value)) return refuse('it has not exactly the fields of a pack');
  let last = '';
  for (const { path } of value.files) {
    if (path <= last) refuse(`its files are repeated or out of order at ${path}`);
    last = path;
  }
  return value;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && value !== '';
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isHash: Check = (value) => typeof value === 'string' && HASH_HEX.test(value);
const isTime: Check = (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)) && value.endsWith('Z');
const isPath: Check = (value) => typeof value === 'string' && value.length <= MAX_PATH_LENGTH && PATH.test(value);

const isPackManifest: (value: unknown) => value is PackManifest = isShape<PackManifest>({
  v: (value) => value === 1,
  kind: (value) => value === 'soc2' || value === 'gdpr_access' || value === 'tenant_export',
  deployment: isText,
  tenant: isShape({ id: (value) => typeof value === 'string' && isId('tnt', value), slug: isText, region: isText }),
  window: isShape({ from: isTime, to: isTime }),
  generator: isShape({ name: isText, version: isText, source_sha256: isHash }),
  head: (value) =>
    value === null || isShape({ origin: isText, size: isCount, root: isHash, checkpoint: isText })(value),
  files: listOf(
    isShape({ path: isPath, sha256: isHash, bytes: isCount, rows: (value) => value === null || isCount(value) }),
  ),
  omissions: listOf(isShape({ what: isText, why: isText })),
});

/** Returns the check for objects with exactly these fields. */
export function isShape<T extends object>(
  checks: Readonly<Record<keyof T & string, Check>>,
): (value: unknown) => value is T {
  const fields = new Map<string, Check>(Object.entries(checks));
  return (value): value is T => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    const entries = Object.entries(value);
    return entries.length === fields.size && entries.every(([name, field]) => fields.get(name)?.(field) === true);
  };
}

/** Returns the check for arrays whose every item passes. */
export function listOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `pack manifest: ${reason}`);
}
