import { canonicalJson, parseCanonical } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';
import { signNote, verifyNote, type NoteSigner, type NoteVerifier } from '#schema/signed-note.ts';
import type { ExaminedStore, IsolationCheck } from './examination.ts';

/** How well the stores of a deployment keep tenants apart, as they were found at one moment. */
export interface IsolationStatement {
  readonly deployment: string;
  readonly at: Date;
  /** The version of Node.js that examined. */
  readonly node: string;
  /** The worst of all checks. */
  readonly verdict: IsolationCheck['verdict'];
  readonly stores: readonly ExaminedStore[];
}

/** A statement whose signature was verified. */
export interface VerifiedIsolation {
  readonly statement: IsolationStatement;
  readonly signers: readonly NoteVerifier[];
}

/** The line that no other note of a deployment begins with: behind it a checkpoint has a number. */
const HEADER = /^(\S+)\/isolation\/v1\n(\{[^\n]*\})\n$/u;
const START = /^[^\s\n]{1,1000}\/isolation\/v1\n\{/u;
const VERDICTS = ['pass', 'cannot say', 'fail'] as const;

/** Returns the worst of some verdicts; nothing that was asked is nothing that was shown. */
export function worstOf(checks: readonly IsolationCheck[]): IsolationCheck['verdict'] {
  if (checks.length === 0) return 'cannot say';
  return VERDICTS[Math.max(...checks.map(({ verdict }) => VERDICTS.indexOf(verdict)))] ?? 'cannot say';
}

/** Returns the statement as a signed note (C2SP): one line that names it, one of canonical JSON (RFC 8785). */
export function signIsolation(
  { deployment, at, node, verdict, stores }: IsolationStatement,
  signer: NoteSigner,
): string {
  const body = canonicalJson({
    at: at.toISOString(),
    node,
    stores: stores.map(({ store, postgresql, catalogSha256, checks }) => ({
      catalog_sha256: catalogSha256,
      checks: checks.map((check) => ({ ...check })),
      postgresql,
      store,
    })),
    v: 1,
    verdict,
  });
  return signNote(`${deployment}/isolation/v1\n${body}\n`, signer);
}

/** Tells whether bytes begin like a statement of isolation. */
export function isIsolationStatement(head: Uint8Array): boolean {
  return START.test(Buffer.from(head).toString('utf8'));
}

/**
 * Returns what a statement says, having verified that a trusted key of the deployment it names has signed it. Hostile
 * input enters here: another form, a failing signature, or a verdict that its own checks do not bear is BAD_USER_INPUT.
 */
export function verifyIsolation(note: Uint8Array, keys: readonly NoteVerifier[]): VerifiedIsolation {
  const { text, signers } = verifyNote(note, keys);
  const [, deployment = '', body = ''] = HEADER.exec(text) ?? refuse('it has another form');
  if (!signers.some(({ name }) => name === deployment)) refuse('it is signed by another deployment');
  const said = parseCanonical(Buffer.from(body));
  if (!isObject(said) || said['v'] !== 1) return refuse('it is of another version');
  const { at, node, stores, verdict } = said;
  if (typeof at !== 'string' || typeof node !== 'string' || !Array.isArray(stores))
    return refuse('it has another shape');
  const examined = stores.map((store: unknown) => storeOf(store));
  const found = worstOf(examined.flatMap(({ checks }) => checks));
  if (verdict !== found) return refuse(`it says ${JSON.stringify(verdict)}, and its checks say ${found}`);
  return { statement: { deployment, at: new Date(at), node, verdict: found, stores: examined }, signers };
}

function storeOf(value: unknown): ExaminedStore {
  if (!isObject(value)) return refuse('a store has another shape');
  const { store, postgresql, catalog_sha256: catalogSha256, checks } = value;
  const isKnown = typeof catalogSha256 === 'string' || catalogSha256 === null;
  if (typeof store !== 'string' || typeof postgresql !== 'string' || !isKnown || !Array.isArray(checks))
    return refuse('a store has another shape');
  return { store, postgresql, catalogSha256, checks: checks.map((check: unknown) => checkOf(check)) };
}

function checkOf(value: unknown): IsolationCheck {
  if (!isObject(value)) return refuse('a check has another shape');
  const { check, role, sentence } = value;
  const verdict = VERDICTS.find((known) => known === value['verdict']);
  const isRole = typeof role === 'string' || role === null;
  if (typeof check !== 'string' || typeof sentence !== 'string' || !isRole || verdict === undefined)
    return refuse('a check has another shape');
  return { check, role, verdict, sentence };
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `statement of isolation: ${reason}`, { hint: `Statement of isolation: ${reason}.` });
}
