import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { subgraphs } from '#subgraphs';
import { compose } from '#kit/composition.ts';
import { auditActions } from '#kit/audit-actions.ts';
import { PLATFORM_TABLES } from '#kit/personal-tables.ts';
import { auditCatalogue } from '#schema/audit-actions/catalogue.ts';
import { evolutionFaults } from '#schema/audit-actions/evolution.ts';
import { entrySchema, schemaText } from '#schema/audit-actions/json-schema.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { SETTINGS } from '#schema/config.ts';
import type { Setting } from '#schema/setting-readers.ts';
import { ERRORS, type ErrorRow } from '#schema/errors.ts';
import { SCOPES } from '#schema/scopes.ts';
import { doorsTable, lifeDaysTable, lifeTable } from './tenants/life-table.ts';
import { dataTable, placesTable } from './tenants/residency-table.ts';

// Writes every file and table that follows from the code; with --check it compares them instead.

const ROOT = new URL('../', import.meta.url);
const EVENT_SCHEMA = 'schema/audit-events.schema.json';

/** Every generated file with what it should hold. */
function generatedFiles(): Map<string, string> {
  const supergraph = compose(subgraphs);
  const files = new Map([['schema/graphql/supergraph.graphql', supergraph]]);
  for (const subgraph of subgraphs) files.set(`schema/graphql/${subgraph.name}.graphql`, subgraph.sdl);
  files.set('.env.example', environmentExample());
  files.set('README.md', withTables('README.md', { settings: settingsTable(), errors: errorsTable() }));
  files.set(
    'docs/reference.md',
    withTables('docs/reference.md', { scopes: scopesTable(), actions: actionsTable(supergraph) }),
  );
  files.set(
    'docs/tenants.md',
    withTables('docs/tenants.md', { life: lifeTable(), 'life-days': lifeDaysTable(), doors: doorsTable() }),
  );
  files.set('docs/residency.md', withTables('docs/residency.md', { places: placesTable(), data: dataTable() }));
  files.set('docs/privacy.md', withTables('docs/privacy.md', { 'personal-tables': personalTables() }));
  files.set(EVENT_SCHEMA, schemaText(entrySchema()));
  files.set('docs/audit-events.md', auditCatalogue(auditActions(supergraph)));
  return files;
}

/** Returns why a schema of audit events may not be written over the one that is there. */
function brokenVersions(): string[] {
  const path = new URL(EVENT_SCHEMA, ROOT);
  if (!existsSync(path)) return [];
  return evolutionFaults(JSON.parse(readFileSync(path, 'utf8')) as JsonValue, entrySchema());
}

function environmentExample(): string {
  const rows = Object.values<Setting<unknown>>(SETTINGS).map((row) => {
    const value = typeof row.fallback === 'string' || typeof row.fallback === 'number' ? String(row.fallback) : '';
    return `# ${row.about}\n# Takes ${row.takes}.\n#${row.env}=${value.startsWith('/') ? '.tenon' : value}\n`;
  });
  return rows.join('\n');
}

function settingsTable(): string {
  const rows = Object.values<Setting<unknown>>(SETTINGS).map(
    (row) => `| \`${row.env}\` | ${cell(defaultOf(row))} | ${cell(row.takes)} | ${cell(row.about)} |`,
  );
  return ['| variable | default | takes | what it does |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function defaultOf({ fallback }: Setting<unknown>): string {
  if (fallback === null) return '';
  if (typeof fallback !== 'string') return `\`${JSON.stringify(fallback)}\``;
  return fallback.startsWith('/') ? '`.tenon`' : `\`${fallback}\``;
}

function errorsTable(): string {
  const rows = Object.entries<ErrorRow>(ERRORS).map(
    ([code, row]) => `| \`${code}\` | ${row.status} | ${row.scimType ?? ''} | ${cell(row.message)} |`,
  );
  return ['| code | HTTP | scimType | what the caller reads |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function scopesTable(): string {
  return [
    '| scope | what it allows |',
    '| --- | --- |',
    ...Object.entries(SCOPES).map(([scope, about]) => `| \`${scope}\` | ${about} |`),
  ].join('\n');
}

function actionsTable(supergraph: string): string {
  const rows = auditActions(supergraph).map(
    ({ action, mutation, controls }) => `| \`${action}\` | \`${mutation}\` | ${controls.join(', ')} |`,
  );
  return ['| action | written by the mutation | controls |', '| --- | --- | --- |', ...rows].join('\n');
}

function personalTables(): string {
  const parts = [
    ...subgraphs.map(({ name, personalData }) => [name, personalData?.tables ?? {}] as const),
    ['platform', PLATFORM_TABLES] as const,
  ];
  const rows = parts.flatMap(([part, tables]) =>
    Object.entries(tables).map(([table, duty]) =>
      duty.about === null
        ? `| \`${table}\` | ${part} | nothing of a person | | ${cell(duty.because)} |`
        : `| \`${table}\` | ${duty.store ?? part} | ${duty.end} | ${searchOf(duty.about)} | ${'because' in duty ? cell(duty.because) : ''} |`,
    ),
  );
  return ['| table | store | at her erasure | rows about her | why |', '| --- | --- | --- | --- | --- |', ...rows].join(
    '\n',
  );
}

function searchOf(about: string): string {
  return `\`${cell(about.replaceAll(/\s+/g, ' '))}\``;
}

/** Puts tables between the marks `<!-- name -->` and `<!-- /name -->` of a document; the rest stays as it is. */
function withTables(file: string, tables: Readonly<Record<string, string>>): string {
  let text = readFileSync(new URL(file, ROOT), 'utf8');
  for (const [name, table] of Object.entries(tables)) {
    const marks = new RegExp(`(<!-- ${name} -->\\n)[\\s\\S]*?(<!-- /${name} -->)`);
    if (!marks.test(text)) throw new Error(`${file} has no marks for the table ${name}`);
    text = text.replace(marks, (_all, open: string, close: string) => `${open}${table}\n${close}`);
  }
  return text;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function main(check: boolean): number {
  const broken = brokenVersions();
  if (broken.length > 0) {
    // What no release has had can be taken out of the file by hand first.
    process.stderr.write(`entries of the log would fit their schema no longer:\n${broken.join('\n')}\n`);
    return 1;
  }
  const stale: string[] = [];
  for (const [file, text] of generatedFiles()) {
    const path = fileURLToPath(new URL(file, ROOT));
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    stale.push(file);
    if (!check) writeFileSync(path, text);
  }
  if (check && stale.length > 0) {
    process.stderr.write(`not up to date, run "npm run generate": ${stale.join(', ')}\n`);
    return 1;
  }
  process.stdout.write(stale.length === 0 ? 'generated files are up to date\n' : `written: ${stale.join(', ')}\n`);
  return 0;
}

process.exitCode = main(process.argv.includes('--check'));
