import { describe, expect, test } from 'vitest';
import { applyPatch } from '../../../subgraphs/identity/scim/patch.ts';
import { readOperations } from '../../../subgraphs/identity/scim/patch-steps.ts';
import { USER } from '../../../subgraphs/identity/scim/schema.ts';
import { BARBARA, ENTERPRISE, codeOf, patchBody } from './scim-patch-cases.ts';

const run = (...operations: unknown[]) =>
  applyPatch(BARBARA, readOperations(patchBody(operations)), { type: USER, profile: 'strict' });

describe('the PATCH engine under attack', () => {
  const HOSTILE = [
    '{"Operations":[{"op":"add","path":"__proto__.polluted","value":"yes"}]}',
    '{"Operations":[{"op":"add","path":"constructor.prototype.polluted","value":"yes"}]}',
    '{"Operations":[{"op":"add","value":{"__proto__":{"polluted":"yes"}}}]}',
    '{"Operations":[{"op":"add","value":{"__proto__.polluted":"yes"}}]}',
    '{"Operations":[{"op":"add","value":{"constructor":{"prototype":{"polluted":"yes"}}}}]}',
    '{"Operations":[{"op":"add","path":"name","value":{"__proto__":{"polluted":"yes"}}}]}',
    '{"Operations":[{"op":"add","path":"emails[type eq \\"x\\"].__proto__","value":{"polluted":"yes"}}]}',
    '{"Operations":[{"op":"add","path":"emails[__proto__ eq \\"x\\"].value","value":"yes"}]}',
    '{"Operations":[{"op":"add","path":"urn:ietf:params:scim:schemas:core:2.0:User:__proto__","value":{"polluted":1}}]}',
    `{"Operations":[{"op":"add","value":{"${ENTERPRISE}":{"__proto__":{"polluted":"yes"}}}}]}`,
  ];

  test.each(HOSTILE)('refuses %s in every profile and leaves the prototypes alone', (json) => {
    for (const profile of ['strict', 'okta', 'entra'] as const) {
      const attack = () => applyPatch(BARBARA, readOperations(JSON.parse(json)), { type: USER, profile });
      expect(['INVALID_PATH', 'BAD_USER_INPUT']).toContain(codeOf(attack));
    }
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
    expect(Reflect.get(BARBARA, 'polluted')).toBeUndefined();
  });

  test.each([
    ['no object', [], 'BAD_REQUEST'],
    ['no operations', {}, 'BAD_REQUEST'],
    ['zero operations', { Operations: [] }, 'BAD_REQUEST'],
    ['an operation that is none', { Operations: ['add'] }, 'BAD_REQUEST'],
    ['an unknown operation', { Operations: [{ op: 'move', path: 'title', value: 'x' }] }, 'BAD_REQUEST'],
    ['a path that is no text', { Operations: [{ op: 'remove', path: ['title'] }] }, 'BAD_REQUEST'],
    ['an add without a value', { Operations: [{ op: 'add', path: 'title' }] }, 'BAD_REQUEST'],
    ['another message', { schemas: ['urn:x'], Operations: [{ op: 'remove', path: 'title' }] }, 'BAD_REQUEST'],
    [
      '1001 operations',
      { Operations: Array.from({ length: 1001 }, () => ({ op: 'remove', path: 'title' })) },
      'TOO_MANY',
    ],
  ])('refuses a body with %s', (_, body, code) => {
    expect(codeOf(() => readOperations(body))).toBe(code);
  });

  test('takes 1000 operations', () => {
    const operations = readOperations(
      patchBody(Array.from({ length: 1000 }, () => ({ op: 'add', path: 'title', value: 'x' }))),
    );
    expect(applyPatch(BARBARA, operations, { type: USER, profile: 'strict' }).changedAttributes).toEqual(['title']);
  });

  test('refuses a value that is nested deeper than any attribute', () => {
    const deep = JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`);
    expect(codeOf(() => readOperations({ Operations: [{ op: 'add', path: 'title', value: deep }] }))).toBe(
      'BAD_USER_INPUT',
    );
  });

  test('refuses names without number that differ by case alone', () => {
    const letters = 'preferredlanguage'.split('');
    const keys = Array.from({ length: 3000 }, (_, n) =>
      letters.map((letter, bit) => ((n >> bit) & 1 ? letter.toUpperCase() : letter)).join(''),
    );
    const adding = (count: number) => ({
      op: 'add',
      value: Object.fromEntries(keys.slice(0, count).map((key) => [key, 'x'])),
    });
    expect(codeOf(() => run(adding(3000)))).toBe('BAD_USER_INPUT');
    expect(codeOf(() => run(adding(1500), adding(1500)))).toBe('TOO_MANY');
    expect(run(adding(1500)).changedAttributes).toEqual(['preferredLanguage']);
  });

  test('refuses long filters by the hundred, which would run over every element', () => {
    const path = `emails[${Array.from({ length: 60 }, () => `value co "${'y'.repeat(40)}"`).join(' or ')}]`;
    const operations = Array.from({ length: 100 }, () => ({ op: 'remove', path }));
    expect(codeOf(() => run(...operations))).toBe('TOO_MANY');
    expect(codeOf(() => run(...operations.slice(0, 10)))).toBe('NO_TARGET');
  });

  test('names the attributes that differ for the audit log', () => {
    const operations = readOperations(
      patchBody([{ op: 'replace', value: { active: false, displayName: 'Babs', 'manager.value': 'usr_2' } }]),
    );
    const { changedAttributes } = applyPatch(BARBARA, operations, { type: USER, profile: 'entra' });
    expect(changedAttributes).toEqual(['active', `${ENTERPRISE}:manager`]);
  });
});
