import { readdirSync, readFileSync } from 'node:fs';
import { GraphQLInputObjectType, GraphQLObjectType } from 'graphql';
import { describe, expect, it } from 'vitest';
import { identity } from '../../../subgraphs/identity/index.ts';
import { ID_TOKEN_ALGS, TOKEN_AUTH_METHODS } from '../../../subgraphs/identity/oidc/settings.ts';

const FOLDER = new URL('../../../docs/identity/', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, FOLDER), 'utf8');
const README = read('README.md');
/** What is the same for all identity providers. */
const TOPICS = ['revocation.md', 'scim.md', 'security-events.md'];
const ALL = readdirSync(FOLDER).filter((file) => file !== 'README.md');
const PAGES = ALL.filter((file) => !TOPICS.includes(file));

/** What an administrator looks for, whichever identity provider she has. */
const FIELDS = [
  'redirectUri',
  'initiateLoginUri',
  'backchannelLogoutUri',
  'issuer',
  'clientId',
  'clientSecret',
  'scopes',
  'idTokenAlg',
  'tokenAuth',
  'emailVerifiedClaim',
  'groupsAttribute',
];

describe('the guide to identity providers', () => {
  it('has a page for each that its README lists, and no other', () => {
    const listed = [...README.matchAll(/\]\(([\w-]+\.md)\)/g)].map(([, file]) => file);
    expect(new Set(listed)).toEqual(new Set(ALL));
    expect([PAGES.length, ALL.length]).toEqual([15, 15 + TOPICS.length]);
  });

  it.each(PAGES)('%s names every field of OpenID Connect with a value, and what SAML and SCIM need', (file) => {
    const text = read(file);
    for (const field of FIELDS)
      expect([field, new RegExp(`^\\| \`${field}\` \\| \\S`, 'm').test(text)]).toEqual([field, true]);
    for (const what of [
      '## SAML 2.0',
      'acsUrl',
      'entityId',
      'metadata',
      '## SCIM 2.0',
      '<public URL>/scim/v2',
      'createScimToken',
    ])
      expect([what, text.includes(what)]).toEqual([what, true]);
  });

  it.each(PAGES)('%s sets nothing that the platform would refuse', (file) => {
    const row = (field: string) => new RegExp(`^\\| \`${field}\` \\| (.*) \\|$`, 'm').exec(read(file))?.[1] ?? '';
    const [, alg = ''] = /`(\w+)`/.exec(row('idTokenAlg')) ?? [];
    const [, auth = ''] = /`(\w+)`/.exec(row('tokenAuth')) ?? [];
    expect([ID_TOKEN_ALGS.some((known) => known === alg), TOKEN_AUTH_METHODS.some((known) => known === auth)]).toEqual([
      true,
      true,
    ]);
    const [, issuer = ''] = /`(https:\/\/[^`]+)`/.exec(row('issuer')) ?? [];
    expect(URL.canParse(issuer.replaceAll(/<[^>]*>/g, 'x'))).toBe(true);
  });

  it('names in its README every field of a connection, every reason of a refusal and every operation it speaks of', () => {
    const input = identity.schema.getType('CreateOidcConnectionInput');
    const fields = input instanceof GraphQLInputObjectType ? Object.keys(input.getFields()) : [];
    expect(fields.length).toBeGreaterThan(10);
    for (const field of fields) expect([field, README.includes(`\`${field}\``)]).toEqual([field, true]);
    const source = readFileSync(new URL('../../subgraphs/identity/connections/refusal.ts', FOLDER), 'utf8');
    const reasons = [...source.matchAll(/^ {2}\| '(\w+)'/gm)].map(([, reason = '']) => reason);
    expect(reasons.length).toBeGreaterThan(10);
    for (const reason of reasons) expect([reason, README.includes(`\`${reason}\``)]).toEqual([reason, true]);
  });

  it('speaks of operations that there are', () => {
    const { schema } = identity;
    const known = new Set(
      [schema.getMutationType(), schema.getQueryType()].flatMap((type) =>
        type instanceof GraphQLObjectType ? Object.keys(type.getFields()) : [],
      ),
    );
    const pages = [README, ...ALL.map(read)].join('\n');
    const named = new Set(
      [
        ...pages.matchAll(
          /`((?:create|update|add|remove|verify|activate|test|disable|delete|(?:un)?map|deactivate|rotate|revoke|register|preview|replay)[A-Z]\w+)/g,
        ),
      ].map(([, name = '']) => name),
    );
    expect(named.size).toBeGreaterThan(8);
    expect([...named].filter((name) => !known.has(name))).toEqual([]);
  });
});
