import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gunzipSync, inflateRawSync } from 'node:zlib';
import { withClient } from '../support/postgres.ts';

/** What is looked for: words that stand in no other text, in small letters. */
export type Needles = readonly string[];

/**
 * Returns which of the words stand in the bytes, in whatever letters, as they are, in hexadecimal, in base64 at any place,
 * or within what is packed: gzip, and the members of a zip.
 */
export function found(bytes: Buffer, needles: Needles): string[] {
  const texts = unpacked(bytes).map((each) => each.toString('latin1'));
  const lower = texts.map((text) => text.toLowerCase());
  return needles.filter(
    (needle) =>
      lower.some((text) => text.includes(needle) || text.includes(Buffer.from(needle).toString('hex'))) ||
      spellings(needle).some((spelling) =>
        texts.some((text) => base64Forms(spelling).some((form) => text.includes(form))),
      ),
  );
}

/** Returns `<file>: <word>` for every file under a folder that holds a word; files behind `skip` are passed over. */
export function foundInFiles(
  folder: string,
  needles: Needles,
  skip: (path: string) => boolean = () => false,
): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => !skip(relative(folder, path)) && statSync(path).size > 0)
    .flatMap((path) => found(readFileSync(path), needles).map((needle) => `${relative(folder, path)}: ${needle}`));
}

/** Returns the tables of a database that hold a word in any column, as `<schema>.<table>`. */
export async function tablesHolding(url: string, needles: Needles): Promise<string[]> {
  return withClient(url, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')
        order by 1`,
    );
    const holding: string[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(`select t::text as row from ${name} t`);
      if (rows.some(({ row }) => found(Buffer.from(row), needles).length > 0)) holding.push(name);
    }
    return holding;
  });
}

function spellings(needle: string): string[] {
  return [needle, needle.charAt(0).toUpperCase() + needle.slice(1)];
}

/** The characters that are the same whatever stands before and behind the word. */
function base64Forms(text: string): string[] {
  return [0, 1, 2].flatMap((offset) => {
    const encoded = Buffer.from(`${'\0'.repeat(offset)}${text}`);
    const whole = encoded.subarray(0, encoded.length - (encoded.length % 3)).toString('base64');
    const form = whole.slice(offset === 0 ? 0 : 4);
    return [form, form.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

/** Returns the names of the members of a zip that hold a word. */
export function membersHolding(zip: Buffer, needles: Needles): string[] {
  return zipMembers(zip).flatMap(({ name, bytes }) => (found(bytes, needles).length > 0 ? [name] : []));
}

function unpacked(bytes: Buffer): Buffer[] {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return [gunzipSync(bytes)];
  if (bytes.subarray(0, 4).toString('latin1') !== 'PK\x03\x04') return [bytes];
  return [bytes, ...zipMembers(bytes).flatMap((member) => unpacked(member.bytes))];
}

/** By the central directory, for the sizes stand only there where a zip was streamed. */
function zipMembers(zip: Buffer): { readonly name: string; readonly bytes: Buffer }[] {
  const members: { name: string; bytes: Buffer }[] = [];
  for (let at = zip.indexOf('PK\x01\x02', 0, 'latin1'); at >= 0; at = zip.indexOf('PK\x01\x02', at + 4, 'latin1')) {
    const [method, size, local] = [zip.readUInt16LE(at + 10), zip.readUInt32LE(at + 20), zip.readUInt32LE(at + 42)];
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const packed = zip.subarray(start, start + size);
    const name = zip.toString('utf8', at + 46, at + 46 + zip.readUInt16LE(at + 28));
    members.push({ name, bytes: method === 8 ? inflateRawSync(packed) : packed });
  }
  return members;
}
