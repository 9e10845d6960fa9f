import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { namesOf, renamed, type Names } from '#kit/template-names.ts';
import { ID_PREFIXES } from '#schema/ids.ts';

// Makes a subgraph from the worked example: `npm run new -- contracts`. Everything lands where it belongs, tests
// included; what is left to do is to change what it is about.

const USAGE = `usage: npm run new -- <name>

Makes subgraphs/<name>, its tables and its tests from the example product; <name> is one lower-case English plural,
such as contracts. The new subgraph composes, is tenant-safe, audited and tested without an edit.`;

const ROOT = fileURLToPath(new URL('../', import.meta.url));

function main(argument: string | undefined): number {
  if (argument === undefined || argument === '--help') {
    process.stdout.write(`${USAGE}\n`);
    return argument === undefined ? 2 : 0;
  }
  const names = namesOf(argument, ID_PREFIXES);
  if (names === null) return refuse(`"${argument}" is no lower-case English plural of 4 to 30 letters`);
  if (existsSync(join(ROOT, 'subgraphs', names.plural))) return refuse(`there is a subgraph ${names.plural} already`);
  const written = [
    ...copyFolder(names, 'subgraphs/product'),
    ...copyFolder(names, 'test/subgraphs/product'),
    copyMigration(names),
    copyActions(names),
    ...register(names),
  ];
  for (const file of written) process.stdout.write(`${file}\n`);
  process.stdout.write('next: npm run generate && npm test\n');
  return 0;
}

/** Copies a folder of the example under the new name; a file that is already there is never written over. */
function copyFolder(names: Names, folder: string): string[] {
  const target = folder.replace(/product$/, names.plural);
  mkdirSync(join(ROOT, target), { recursive: true });
  const files = readdirSync(join(ROOT, folder)).filter((file) => !file.startsWith('offer'));
  return files.map((file) => {
    const path = join(target, renamed(file, names));
    const text = withoutOffers(readFileSync(join(ROOT, folder, file), 'utf8'));
    writeFileSync(join(ROOT, path), renamed(text, names), { flag: 'wx' });
    return path;
  });
}

/** What tenants of the example show to each other is a thing of its own, with tables that are not copied. */
function withoutOffers(text: string): string {
  return text.replace(/^import \{ OFFERS \}.*\n/m, '').replaceAll(/, \.\.\.OFFERS\.\w+/g, '');
}

function copyMigration(names: Names): string {
  const folder = 'schema/sql/cell';
  const files = readdirSync(join(ROOT, folder)).filter((file) => file.endsWith('.sql'));
  const template = files.find((file) => file.endsWith('-projects.sql'));
  if (template === undefined) throw new Error('the tables of the example product are missing');
  const path = join(folder, `${String(files.length + 1).padStart(4, '0')}-${names.plural}.sql`);
  const text = `${readFileSync(join(ROOT, folder, template), 'utf8')}\n${erasingOf(folder, files)}`;
  writeFileSync(join(ROOT, path), renamed(text, names), { flag: 'wx' });
  return path;
}

/** How the example forgets an erased person was said after its tables were made: at the end of the file about keys. */
function erasingOf(folder: string, files: readonly string[]): string {
  const file = files.find((name) => name.endsWith('-personal-keys.sql'));
  const text = file === undefined ? '' : readFileSync(join(ROOT, folder, file), 'utf8');
  const start = text.indexOf('-- What was shared with her address');
  if (start < 0) throw new Error('how the example product forgets a person is missing');
  return text.slice(start);
}

/** The catalogue of what the new subgraph writes into the audit log. */
function copyActions(names: Names): string {
  const path = join('schema/audit-actions', `${names.plural}.ts`);
  const text = readFileSync(join(ROOT, 'schema/audit-actions/product.ts'), 'utf8');
  writeFileSync(join(ROOT, path), renamed(text, names), { flag: 'wx' });
  return path;
}

/** Adds the lines that the rest of the house knows a subgraph by. */
function register(names: Names): string[] {
  const prefixes = names.idPrefixes.map((prefix) => `  '${prefix}',\n`).join('');
  insert(
    'schema/ids.ts',
    /(export const ID_PREFIXES = \[\n[^\]]*)(\] as const)/,
    (head, tail) => `${head}${prefixes}${tail}`,
  );
  insert('schema/scopes.ts', /()(  'billing:read': )/, (head, tail) => {
    const read = `  '${names.plural}:read': 'See ${names.plural}.',\n`;
    const write = `  '${names.plural}:write': 'Create, change and share ${names.plural}.',\n`;
    return `${head}${read}${write}${tail}`;
  });
  insert('schema/tenant-doors.ts', /()(  'billing:read': 'payment')/, (head, tail) => {
    return `${head}  '${names.plural}:read': 'read',\n  '${names.plural}:write': 'work',\n${tail}`;
  });
  const rights = `'${names.plural}:read', '${names.plural}:write', `;
  insert('schema/scopes.ts', /(admin: \[\s*)(')/, (head, tail) => `${head}${rights}${tail}`);
  insert('schema/scopes.ts', /(member: \[\s*)(')/, (head, tail) => `${head}${rights}${tail}`);
  insert(
    'subgraphs/index.ts',
    /()(import \{ product \})/,
    (head, tail) => `${head}import { ${names.plural} } from './${names.plural}/index.ts';\n${tail}`,
  );
  insert(
    'subgraphs/index.ts',
    /(export const subgraphs[^[]*\[\]? = \[)([^\]]*\])/,
    (head, tail) => `${head}${names.plural}, ${tail}`,
  );
  insert(
    'schema/audit-actions/index.ts',
    /()(import \{ productActions \})/,
    (head, tail) => `${head}import { ${names.plural}Actions } from './${names.plural}.ts';\n${tail}`,
  );
  const title = `${names.plural.charAt(0).toUpperCase()}${names.plural.slice(1)}`;
  insert(
    'schema/audit-actions/index.ts',
    /(AUDIT_ACTION_PARTS[^{]*\{\n)([^}]*\})/,
    (head, tail) => `${head}  ${title}: ${names.plural}Actions,\n${tail}`,
  );
  return [
    'schema/ids.ts',
    'schema/scopes.ts',
    'schema/tenant-doors.ts',
    'subgraphs/index.ts',
    'schema/audit-actions/index.ts',
  ];
}

function insert(file: string, place: RegExp, text: (head: string, tail: string) => string): void {
  const before = readFileSync(join(ROOT, file), 'utf8');
  const after = before.replace(place, (_all, head: string, tail: string) => text(head, tail));
  if (after === before) throw new Error(`${file} has no place for a new subgraph`);
  writeFileSync(join(ROOT, file), after);
}

function refuse(reason: string): number {
  process.stderr.write(`${reason}\n`);
  return 2;
}

process.exitCode = main(process.argv[2]);
