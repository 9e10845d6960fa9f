import { expect, test } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import type { ErrorCode } from '#schema/errors.ts';
import { applyPatch } from '../../../subgraphs/identity/scim/patch.ts';
import { readOperations } from '../../../subgraphs/identity/scim/patch-steps.ts';
import type { Profile } from '../../../subgraphs/identity/scim/patch-steps.ts';
import { USER } from '../../../subgraphs/identity/scim/schema.ts';
import type { ScimObject, ScimValue } from '../../../subgraphs/identity/scim/schema.ts';

/** The URN of the enterprise extension, spelled out so that a slip in the schema shows. */
export const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';

/** The user that every case starts from unless it brings its own. */
export const BARBARA: ScimObject = {
  id: 'usr_1',
  externalId: '00u1',
  userName: 'bjensen@example.com',
  name: { givenName: 'Barbara', familyName: 'Jensen' },
  displayName: 'Babs',
  active: true,
  emails: [
    { value: 'bjensen@example.com', type: 'work', primary: true },
    { value: 'babs@home.example', type: 'home' },
  ],
  phoneNumbers: [{ value: '555-1', type: 'work' }],
  [ENTERPRISE]: { department: 'Sales', manager: { value: 'usr_boss', $ref: '/Users/usr_boss' } },
};

/** Her work and home addresses, the parts that most cases leave alone. */
export const WORK = { value: 'bjensen@example.com', type: 'work', primary: true };
export const HOME = { value: 'babs@home.example', type: 'home' };

/** One request and what it has to lead to: attributes that differ then (undefined: gone), or an error. */
export interface PatchCase {
  readonly name: string;
  readonly profile?: Profile;
  readonly before?: ScimObject;
  readonly operations: readonly unknown[];
  readonly after?: Readonly<Record<string, ScimValue | undefined>>;
  readonly ignored?: readonly string[];
  readonly code?: ErrorCode;
}

/** Returns a PatchOp body. */
export function patchBody(operations: readonly unknown[]): unknown {
  const body = { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: operations };
  return JSON.parse(JSON.stringify(body));
}

/** Registers one test for each case. */
export function testPatchCases(cases: readonly PatchCase[], defaultProfile: Profile): void {
  test.each(cases)('$name', ({ profile = defaultProfile, before = BARBARA, operations, after, ignored, code }) => {
    const untouched = structuredClone(before);
    const run = () => applyPatch(before, readOperations(patchBody(operations)), { type: USER, profile });
    if (code !== undefined) {
      expect(codeOf(run)).toBe(code);
    } else {
      const result = run();
      const wanted = Object.entries({ ...before, ...after }).filter(([, value]) => value !== undefined);
      expect(result.resource).toStrictEqual(Object.fromEntries(wanted));
      expect(result.changed).toBe(after !== undefined);
      expect(result.ignored).toStrictEqual(ignored ?? []);
    }
    expect(before).toStrictEqual(untouched);
  });
}

/** Returns the code of the error that a call throws, or undefined where it throws none. */
export function codeOf(run: () => unknown): ErrorCode | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof TenonError) return error.code;
    throw error;
  }
}
