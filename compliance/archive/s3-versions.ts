import { fail } from '#schema/errors.ts';
import { describeAnswer, type S3Client } from './s3-client.ts';

/** One version of an object; keys can have many, each under its own lock. */
export interface ObjectVersion {
  readonly key: string;
  readonly versionId: string;
  readonly sizeBytes: number;
}

/** What is listed. */
export interface VersionListing {
  readonly client: S3Client;
  readonly prefix: string;
  /** Versions asked for at once; S3 gives at most 1000. */
  readonly pageSize: number;
}

/**
 * Yields the versions of all keys that start with the prefix: keys in the order of their bytes, of each key the newest
 * version first (ListObjectVersions). A delete marker neither shows nor hides what lies below it.
 */
export async function* listVersions({ client, prefix, pageSize }: VersionListing): AsyncGenerator<ObjectVersion> {
  for (let markers: Record<string, string> | null = {}; markers !== null;) {
    const query = { versions: '', prefix, 'max-keys': String(pageSize), ...markers };
    const answer = await client({ method: 'GET', query });
    if (answer.status !== 200) fail('SERVICE_UNAVAILABLE', `the bucket cannot be listed: ${describeAnswer(answer)}`);
    const xml = answer.body.toString('utf8');
    for (const [, version = ''] of xml.matchAll(/<Version>(.*?)<\/Version>/gs)) yield versionIn(version);
    markers = nextMarkers(xml, markers);
  }
}

function versionIn(xml: string): ObjectVersion {
  const sizeBytes = Number(textOf(xml, 'Size') ?? NaN);
  const key = textOf(xml, 'Key');
  const versionId = textOf(xml, 'VersionId');
  if (key === null || versionId === null || !Number.isSafeInteger(sizeBytes)) {
    return fail('SERVICE_UNAVAILABLE', 'the bucket lists a version that cannot be read');
  }
  return { key, versionId, sizeBytes };
}

function nextMarkers(xml: string, before: Readonly<Record<string, string>>): Record<string, string> | null {
  if (textOf(xml, 'IsTruncated') !== 'true') return null;
  const key = textOf(xml, 'NextKeyMarker');
  const versionId = textOf(xml, 'NextVersionIdMarker');
  // A store that turns in a circle would be asked without end.
  if (key === null || (key === before['key-marker'] && versionId === (before['version-id-marker'] ?? null))) {
    return fail('SERVICE_UNAVAILABLE', 'the bucket does not say how its listing goes on');
  }
  return { 'key-marker': key, ...(versionId === null ? {} : { 'version-id-marker': versionId }) };
}

function textOf(xml: string, element: string): string | null {
  const start = xml.indexOf(`<${element}>`);
  const end = start < 0 ? -1 : xml.indexOf(`</${element}>`, start);
  return end < 0 ? null : unescape(xml.slice(start + element.length + 2, end));
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&amp;', '&'],
  ['&lt;', '<'],
  ['&gt;', '>'],
  ['&quot;', '"'],
  ['&apos;', "'"],
]);

/** Foreign keys in the bucket may hold anything, and the listing goes on from the last one. */
function unescape(text: string): string {
  return text.replaceAll(
    /&(?:#\d{1,7}|#x[\da-fA-F]{1,6}|[a-z]{2,4});/g,
    (entity) => ENTITIES.get(entity) ?? characterOf(entity),
  );
}

function characterOf(entity: string): string {
  const code = entity.startsWith('&#x') ? parseInt(entity.slice(3), 16) : Number(entity.slice(2, -1));
  return code <= 0x10_ff_ff ? String.fromCodePoint(code) : entity;
}
