import { existsSync, readFileSync } from 'node:fs';
import { GraphQLEnumType, GraphQLObjectType, parse, validate } from 'graphql';
import { describe, expect, it } from 'vitest';
import { ERRORS, type ErrorRow } from '#schema/errors.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import { BULK_LIMITS } from '../../../subgraphs/identity/scim/bulk-request.ts';
import { FILTER_LIMITS } from '../../../subgraphs/identity/scim/filter.ts';
import { CURSOR_TIMEOUT_SECONDS } from '../../../subgraphs/identity/scim/page-cursor.ts';
import { PROFILES, SCIM_PROFILES, type ScimProfile } from '../../../subgraphs/identity/scim/profiles.ts';
import { LOG_LIMITS } from '../../../subgraphs/identity/scim/request-log.ts';
import { DEFAULT_PAGE_SIZE } from '../../../subgraphs/identity/scim/request.ts';
import { DEVIATIONS, isRewrite } from '../../../subgraphs/identity/scim/rewrites.ts';
import { scimRoutes } from '../../../subgraphs/identity/scim/routes.ts';
import { MAX_PAGE_SIZE } from '../../../subgraphs/identity/scim/schema.ts';
import { VALUE_LIMITS } from '../../../subgraphs/identity/scim/value.ts';

const ROOT = new URL('../../../', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, ROOT), 'utf8');
const SCIM = read('docs/identity/scim.md');
const REVOCATION = read('docs/identity/revocation.md');

const OTHERS = SCIM_PROFILES.filter((profile) => profile !== 'strict');
/** What all profiles take but the strict one. */
const COMMON = new Set(Object.keys(DEVIATIONS).filter((name) => OTHERS.every((profile) => takes(profile, name))));
/** As the graph has it. */
const spelled = (profile: ScimProfile) => `\`${profile.toUpperCase()}\``;

describe('the guide to provisioning', () => {
  it('has a row for each profile, with what it takes beside what all take', () => {
    const rows = rowsOf(SCIM, '| profile | for | takes |');
    expect(rows.map(([name]) => name)).toEqual(SCIM_PROFILES.map(spelled));
    for (const profile of SCIM_PROFILES) {
      const [, , told = ''] = rows.find(([name]) => name === spelled(profile)) ?? [];
      const named = namesIn(told);
      const isAlias = profile === 'entra_flagged';
      const expected = [...PROFILES[isAlias ? 'entra' : profile].rewrites].filter((name) => !COMMON.has(name));
      expect([profile, new Set(named)]).toEqual([profile, new Set(isAlias ? ['ENTRA'] : expected)]);
    }
    expect(PROFILES.entra_flagged.rewrites).toEqual(PROFILES.entra.rewrites);
    expect([...PROFILES.strict.rewrites]).toEqual([]);
  });

  it('has a row for each deviation: what was sent, who takes it, and what everybody else is answered', () => {
    const rows = rowsOf(SCIM, '| name | what was sent | how it is read | taken by | else |');
    expect(new Set(rows.map(([name = '']) => name.slice(1, -1)))).toEqual(new Set(Object.keys(DEVIATIONS)));
    expect(rows.length).toBe(Object.keys(DEVIATIONS).length);
    for (const [name = '', form, meaning = '', takers, answer] of rows) {
      const key = name.slice(1, -1);
      if (!isRewrite(key)) throw new Error(`${name} is no rewrite`);
      const isCommon = COMMON.has(key);
      const listed = OTHERS.filter((profile) => takes(profile, key)).map(spelled);
      const by = isCommon ? 'all but `STRICT`' : listed.join(', ');
      const error: ErrorRow = ERRORS[DEVIATIONS[key].code];
      expect([name, form, takers, answer]).toEqual([name, DEVIATIONS[key].form, by, `\`${error.scimType}\``]);
      expect(meaning).not.toBe('');
    }
  });

  it('tells the bounds that are kept', () => {
    const rows = new Map(
      rowsOf(SCIM, '| what | at most | else |').map(([what = '', most = '']) => [what, numbersIn(most)]),
    );
    expect(Object.fromEntries(rows)).toEqual({
      'filter or path: characters': [FILTER_LIMITS.characters],
      'filter or path: levels': [FILTER_LIMITS.depth],
      'filter or path: comparisons': [FILTER_LIMITS.terms],
      'body: bytes': [1_048_576],
      'body: levels': [VALUE_LIMITS.depth],
      'body: values': [VALUE_LIMITS.values],
      'text: characters': [
        VALUE_LIMITS.characters,
        constant('users.ts', 'MAX_NAME_LENGTH'),
        VALUE_LIMITS.binaryCharacters,
      ],
      'elements of an attribute': [VALUE_LIMITS.elements],
      'members that a request adds, removes or sets': [VALUE_LIMITS.members],
      'members that an answer shows': [constant('members.ts', 'MAX_MEMBERS_SHOWN')],
      'groups shown with a user': [constant('users.ts', 'MAX_GROUPS_SHOWN')],
      'operations of a PATCH': [constant('patch-steps.ts', 'MAX_OPERATIONS')],
      'Bulk: operations': [BULK_LIMITS.operations],
      'Bulk: bytes': [BULK_LIMITS.bytes],
      'page: resources': [MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE],
      'cursor: seconds': [CURSOR_TIMEOUT_SECONDS],
    });
    expect(constant('groups.ts', 'MAX_NAME_LENGTH')).toBe(constant('users.ts', 'MAX_NAME_LENGTH'));
    expect(SCIM).toContain(
      `${counted(LOG_LIMITS.requests)} requests of a connection are kept, for ${LOG_LIMITS.days} days`,
    );
    const extensions = [
      constant('extensions.ts', 'MAX_EXTENSIONS'),
      constant('extension-inputs.ts', 'MAX_ATTRIBUTES'),
      constant('extension-inputs.ts', 'MAX_PARTS'),
    ];
    expect(SCIM).toContain(
      `at most ${extensions[0]} a tenant, ${extensions[1]} attributes each, ${extensions[2]} parts of a complex attribute`,
    );
  });

  it('has a row for each scimType, with the status and the sentence of the error table', () => {
    const errors = Object.values<ErrorRow>(ERRORS).filter(({ scimType }) => scimType !== undefined);
    const expected = errors.map(({ scimType, status, message }) => [`\`${scimType}\``, String(status), message]);
    expect(rowsOf(SCIM, '| scimType | status | says |')).toEqual(expected);
  });

  it('names addresses that there are, and every one of them', () => {
    const told = rowsOf(SCIM, '| address | methods |').flatMap(([addresses = '']) => namesIn(addresses));
    const served = scimRoutes.filter(({ path }) => path.startsWith('/scim/v2'));
    const known = served.map(({ path }) => path.replace('/scim/v2', '').replace(':id', '<id>') || '/');
    const discovered = known.filter((path) => !/^\/(?:Schemas|ResourceTypes)\/<id>$/.test(path));
    expect(new Set(told)).toEqual(new Set(discovered));
  });

  it('names every group of attributes that has one writer', () => {
    const groups = rowsOf(SCIM, '| group | holds |').map(([name = '']) => name.slice(1, -1));
    expect(groups).toEqual(namesOf('AttributeGroup'));
    expect(SCIM_PROFILES.map((profile) => profile.toUpperCase())).toEqual(namesOf('ScimProfile'));
  });
});

describe('the guide to revocation', () => {
  it('has a row for each reason, and for each field of a record but its id', () => {
    expect(
      rowsOf(REVOCATION, '| reason | comes of | whose access ends |').map(([name = '']) => name.slice(1, -1)),
    ).toEqual(namesOf('RevocationReason'));
    const type = identity.schema.getType('Revocation');
    const fields = type instanceof GraphQLObjectType ? Object.keys(type.getFields()) : [];
    const rows = rowsOf(REVOCATION, '| field | in the event | says |');
    expect(new Set(rows.flatMap(([field = '']) => namesIn(field)))).toEqual(
      new Set(fields.filter((field) => field !== 'id')),
    );
    const source = read('gateway/revocation/acknowledgement.ts');
    const context = /\n {4}context: \{\n([\s\S]*?)\n {4}\},/.exec(source)?.[1] ?? '';
    const keys = [...context.matchAll(/^ {6}(\w+)/gm)].map(([, key = '']) => key);
    expect(keys.length).toBe(6);
    expect(new Set(rows.flatMap(([, key = '']) => namesIn(key)))).toEqual(new Set([...keys, 'resource']));
  });

  it('tells the times that are kept', () => {
    const listener = read('subgraphs/kit/change-listener.ts');
    const cache = read('subgraphs/kit/credential-cache.ts');
    const time = (source: string, name: string) => constantIn(source, name).toLocaleString('en-US');
    expect(REVOCATION).toContain(`Every ${time(listener, 'HEARTBEAT_MS')} ms it asks`);
    expect(REVOCATION).toContain(`not heard within ${time(listener, 'LATE_MS')} ms`);
    expect(REVOCATION).toContain(`longer than ${time(listener, 'ANSWER_TIMEOUT_MS')} ms`);
    expect(REVOCATION).toContain(`Without a proof for ${time(listener, 'MAX_SILENCE_MS')} ms`);
    expect(REVOCATION).toContain(`for up to ${constantIn(cache, 'MAX_AGE_MS') / 60_000} minutes`);
    const patienceMs = constantIn(read('gateway/revocation/acknowledgement.ts'), 'PATIENCE_MS');
    expect(REVOCATION).toContain(`within ${patienceMs / 1_000} seconds`);
  });
});

it.each(['docs/identity/scim.md', 'docs/identity/revocation.md', 'docs/identity/security-events.md'])(
  '%s links to what is there, and the README to it',
  (page) => {
    const links = [...read(page).matchAll(/\]\(([^)\s#]+)(?:#[\w-]+)?\)/g)].map(([, link = '']) => link);
    for (const link of links.filter((one) => !one.startsWith('http')))
      expect([link, existsSync(new URL(link, new URL(page, ROOT)))]).toEqual([link, true]);
    expect(read('README.md')).toContain(`](${page})`);
  },
);

it.each([
  ['scim.md', SCIM],
  ['revocation.md', REVOCATION],
])('%s holds a query that the schema takes', (_, text) => {
  const [, query = ''] = /```graphql\n([\s\S]*?)```/.exec(text) ?? [];
  expect(validate(identity.schema, parse(query))).toEqual([]);
});

/** The cells of the table below a heading, without the heading. */
function rowsOf(text: string, heading: string): string[][] {
  const [, table = ''] = text.split(`${heading}\n`);
  const lines = table.split('\n');
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines.slice(1, end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
}

function numbersIn(cell: string): number[] {
  return [...cell.matchAll(/\b\d[\d,]*/g)].map(([number]) => Number(number.replaceAll(',', '')));
}

function counted(number: number): string {
  return number.toLocaleString('en-US');
}

function constant(file: string, name: string): number {
  return constantIn(read(`subgraphs/identity/scim/${file}`), name);
}

function constantIn(source: string, name: string): number {
  return Number(new RegExp(`^const ${name} = ([\\d_]+);`, 'm').exec(source)?.[1]?.replaceAll('_', ''));
}

function takes(profile: ScimProfile, name: string): boolean {
  return isRewrite(name) && PROFILES[profile].rewrites.has(name);
}

function namesOf(name: string): string[] {
  const type = identity.schema.getType(name);
  return type instanceof GraphQLEnumType ? type.getValues().map((value) => value.name) : [];
}
