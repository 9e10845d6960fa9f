import { readFileSync } from 'node:fs';
import { buildASTSchema, parse, validate } from 'graphql';
import { transformSupergraphToPublicSchema } from '@theguild/federation-composition';
import { describe, expect, it } from 'vitest';
import { fragmentsOf } from '#schema/cost/query-cost.ts';
import type { Scope } from '#schema/scopes.ts';
import type { TenantContext, TenantState } from '#schema/tenant-context.ts';
import { compilePermissions } from '../../gateway/permissions-compile.ts';
import { requirePermissions, supergraphPermissionsOf, type OperationPermissions } from '../../gateway/permissions.ts';
import { operationIn } from '../../gateway/prepared-operation.ts';

const SDL = readFileSync(new URL('../../schema/graphql/supergraph.graphql', import.meta.url), 'utf8');
const schema = buildASTSchema(transformSupergraphToPublicSchema(parse(SDL)));
const permissions = supergraphPermissionsOf(SDL);

function compiled(text: string, name: string | null = null): OperationPermissions {
  const document = parse(text);
  expect(validate(schema, document)).toEqual([]);
  return compilePermissions({
    operation: operationIn(document, name),
    fragments: fragmentsOf(document),
    schema,
    permissions,
  });
}

const scopesOf = (text: string) =>
  compiled(text)
    .always.map(({ scope }) => scope)
    .toSorted();

const asker = (scopes: readonly Scope[], state: TenantState = 'active') => ({
  tenant: { scopes, state } as unknown as TenantContext,
});

function outcome(text: string, scopes: readonly Scope[], variables: Record<string, unknown> = {}): string {
  try {
    requirePermissions(asker(scopes), compiled(text), variables);
    return 'passes';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('the rights that an operation needs', () => {
  it.each<[string, string, Scope[]]>([
    ['of root fields, each once', '{ a: users { __typename } b: users { __typename } roles { id } }', ['users:read']],
    ['of fields below', '{ user(id: "x") { credentials { id } } }', ['users:read', 'users:write']],
    [
      'of a type that another subgraph leads to',
      '{ invoices { edges { node { tenant { name } } } } }',
      ['billing:read', 'tenant:read'],
    ],
    [
      'of a person that a document leads to',
      '{ project(id: "x") { documents { edges { node { author { displayName } } } } } }',
      ['projects:read', 'users:read'],
    ],
    [
      'of mutations',
      'mutation { signOut { signedOut } draftInvoice(input: {periodStart: "2026-01-01T00:00:00Z", periodEnd: "2026-02-01T00:00:00Z"}) { __typename } }',
      ['billing:write'],
    ],
    [
      'in fragments',
      '{ ...F } fragment F on Query { ... on Query { users { edges { node { ...G } } } } } fragment G on User { sessions { id } }',
      ['users:read', 'users:write'],
    ],
  ])('are those %s', (_name, text, scopes) => {
    expect(scopesOf(text)).toEqual(scopes);
  });

  it.each([
    ['who asks', '{ viewer { scopes user { displayName } } }'],
    ['the way out', 'mutation { signOut { signedOut } }'],
    ['introspection', '{ __schema { queryType { name } } __typename }'],
  ])('are none for %s', (_name, text) => {
    const document = parse(text);
    const on = { operation: operationIn(document, null), fragments: fragmentsOf(document), schema, permissions };
    expect(compilePermissions(on)).toMatchObject({ always: [], conditional: [] });
  });

  it('leave out what a reference holds by itself', () => {
    expect(scopesOf('{ project(id: "x") { documents { edges { node { author { id } } } } } }')).toEqual([
      'projects:read',
    ]);
  });

  it('are those of the operation that is asked for, in a document of several', () => {
    const text = 'query A { users { __typename } } query B { projects { __typename } }';
    expect(compiled(text, 'B').always.map(({ scope }) => scope)).toEqual(['projects:read']);
  });

  it('name the fields that need them', () => {
    expect(compiled('{ viewer { user { groups { id } } } users { __typename } }').always).toEqual([
      { scope: 'users:read', paths: ['viewer.user.groups', 'users'] },
    ]);
  });
});

describe('a field that may be left out', () => {
  const INCLUDED = 'query ($with: Boolean!) { viewer { scopes } users @include(if: $with) { __typename } }';
  const SKIPPED = 'query ($without: Boolean = true) { viewer { scopes } users @skip(if: $without) { __typename } }';
  it.each<[string, string, Record<string, unknown>, string]>([
    ['is included', INCLUDED, { with: true }, 'FORBIDDEN'],
    ['is not included', INCLUDED, { with: false }, 'passes'],
    ['has no variable', INCLUDED, {}, 'FORBIDDEN'],
    ['has a variable that is no boolean', INCLUDED, { with: 'false' }, 'FORBIDDEN'],
    ['is skipped by default', SKIPPED, {}, 'passes'],
    ['is not skipped', SKIPPED, { without: false }, 'FORBIDDEN'],
    ['is skipped by a literal', '{ viewer { scopes } users @skip(if: true) { __typename } }', {}, 'passes'],
    ['is included by a literal', '{ users @include(if: true) { __typename } }', {}, 'FORBIDDEN'],
    [
      'is left out together with the fields around it',
      'query ($a: Boolean!, $b: Boolean!) { viewer @include(if: $a) { user { groups @skip(if: $b) { id } } } }',
      { a: false, b: false },
      'passes',
    ],
    [
      'is left out in one place alone',
      'query ($a: Boolean!) { users @include(if: $a) { __typename } b: users { __typename } }',
      { a: false },
      'FORBIDDEN',
    ],
    [
      'is in a fragment that is spread under a condition and without',
      'query ($a: Boolean!) { ...F @include(if: $a) ...F } fragment F on Query { users { __typename } }',
      { a: false },
      'FORBIDDEN',
    ],
  ])('and %s', (_name, text, variables, expected) => {
    expect(outcome(text, [], variables)).toBe(expected);
    expect(outcome(text, ['users:read'], variables)).toBe('passes');
  });
});

describe('a caller', () => {
  it('is told of every right that is missing, and where', () => {
    const text = '{ users { __typename } projects { __typename } tenant { id } }';
    expect(() => requirePermissions(asker(['tenant:read']), compiled(text), {})).toThrowError(
      expect.objectContaining({
        code: 'FORBIDDEN',
        hint: 'users needs the scope users:read; projects needs the scope projects:read.',
      }) as Error,
    );
  });

  it('of a tenant that is read-only changes nothing, whatever her rights', () => {
    const text = 'mutation { createProject(input: {name: "no"}) { __typename } }';
    const ask = (state: TenantState) => () => requirePermissions(asker(['projects:write'], state), compiled(text), {});
    expect(ask('read_only')).toThrowError(expect.objectContaining({ code: 'TENANT_READ_ONLY' }) as Error);
    expect(ask('active')).not.toThrow();
  });
});

it('fragments that spread each other many times, under many conditions, are read in no time', () => {
  const levels = 24;
  const fragments = Array.from(
    { length: levels },
    (_, at) => `fragment F${at} on Query { ...F${at + 1} @include(if: $v${at}) ...F${at + 1} }`,
  );
  const variables = Array.from({ length: levels }, (_, at) => `$v${at}: Boolean!`).join(' ');
  const text = `query (${variables}) { ...F0 } ${fragments.join(' ')} fragment F${levels} on Query { users { __typename } }`;
  const document = parse(text);
  const started = performance.now();
  const found = compilePermissions({
    operation: operationIn(document, null),
    fragments: fragmentsOf(document),
    schema,
    permissions,
  });
  expect(performance.now() - started).toBeLessThan(500);
  expect(found.always.map(({ scope }) => scope)).toEqual(['users:read']);
});
