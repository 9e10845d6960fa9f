import type { Checkpoint } from './checkpoint.ts';
import { parseCosignerKey, verifyCosignatures, type Cosignature, type CosignatureVerifier } from './cosignature.ts';
import { fail } from './errors.ts';
import { trustedKeys } from './key-rotation.ts';
import { parseVerifierKey, rawPublicKey, verifyNote, type NoteVerifier } from './signed-note.ts';

/** Who has to have signed a checkpoint for it to be believed (C2SP tlog-policy). */
export interface WitnessPolicy {
  /** Any one of them must have signed; where the file names none, the reader knows the log from elsewhere. */
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  readonly quorum: Quorum;
}

/** A log of a policy. */
export interface PolicyLog {
  readonly verifier: NoteVerifier;
  readonly url: string | null;
}

/** A witness of a policy; the name has a meaning inside of the file alone. */
export interface PolicyWitness {
  readonly name: string;
  readonly verifier: CosignatureVerifier;
  readonly url: string | null;
}

/** A rule that holds where at least `threshold` of its members do; `none` always holds. */
export type Quorum =
  | { readonly kind: 'none' }
  | { readonly kind: 'witness'; readonly witness: PolicyWitness }
  | { readonly kind: 'group'; readonly name: string; readonly threshold: number; readonly members: readonly Quorum[] };

/** What a policy says of a checkpoint. */
export interface PolicyAnswer {
  readonly checkpoint: Checkpoint;
  /** True where a log of the policy signed and its quorum is met. */
  readonly holds: boolean;
  readonly cosignatures: readonly Cosignature[];
  /** When the last of those that count signed: the checkpoint is at least that old. Null without any. */
  readonly seenBy: Date | null;
}

const MAX_BYTES = 64 * 1024;
const MAX_OF_A_KIND = 64;
// A file of octets: those above 0x7f stand for themselves, so they are read as single characters.
const ALLOWED = /^[\t\n\x20-\x7e\x80-\xff]*$/;
const THRESHOLD = /^[1-9][0-9]{0,3}$/;
const NOBODY = 'none';

/**
 * Returns the policy of a file. Hostile input enters here: more than 64 KiB, more than 64 logs, witnesses or groups, and
 * every departure from the format are BAD_USER_INPUT that names the line.
 */
export function parseWitnessPolicy(bytes: Uint8Array): WitnessPolicy {
  if (bytes.length > MAX_BYTES) refuse(`it is longer than ${MAX_BYTES} bytes`);
  const text = Buffer.from(bytes).toString('latin1');
  if (!ALLOWED.test(text)) refuse('it holds a control character');
  if (!text.endsWith('\n')) refuse('its last line does not end');
  const draft: Draft = { logs: [], witnesses: [], names: new Map(), used: new Set(), groups: 0, quorum: null };
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.split(/[\t ]+/).filter((word) => word !== '');
    const [first = '#'] = words;
    if (!first.startsWith('#')) readLine(draft, words, (reason) => refuse(`line ${index + 1}: ${reason}`));
  }
  const { logs, witnesses, quorum } = draft;
  return { logs, witnesses, quorum: quorum ?? refuse('it has no quorum') };
}

/** A cosigned checkpoint, and what it is read with. */
export interface PolicyQuestion {
  readonly note: string | Uint8Array;
  /** The keys of the log, where the policy names none. */
  readonly logs?: readonly NoteVerifier[];
  /** Statements of rotations, which lead from a key of the log to newer ones. */
  readonly rotations?: readonly (string | Uint8Array)[];
  readonly now?: Date;
}

/**
 * Returns what a policy says of a cosigned checkpoint. A malformed note, a failing signature of a known key, and no
 * signature of a log are BAD_USER_INPUT. A key signs the origins that are its name, or begin with its name and a slash.
 */
export function applyWitnessPolicy(
  policy: WitnessPolicy,
  { note, logs = [], rotations = [], now }: PolicyQuestion,
): PolicyAnswer {
  const named = policy.logs.length > 0 ? policy.logs.map(({ verifier }) => verifier) : logs;
  const { signers } = verifyNote(note, trustedKeys(named, rotations).keys);
  const { checkpoint, cosignatures } = verifyCosignatures(
    note,
    policy.witnesses.map(({ verifier }) => verifier),
    now,
  );
  if (!signers.some(({ name }) => isOriginOf(name, checkpoint.origin)))
    refuse('the log is not one of the key that signed');
  const times = new Map(cosignatures.map(({ witness, time }) => [witness, time]));
  const counted = countedTimes(policy.quorum, times);
  return {
    checkpoint,
    cosignatures,
    holds: counted !== null,
    seenBy: counted === null || counted.length === 0 ? null : new Date(Math.max(...counted)),
  };
}

/** Tells whether a key of that name may sign a log of that origin. */
export function isOriginOf(keyName: string, origin: string): boolean {
  return origin === keyName || origin.startsWith(`${keyName}/`);
}

interface Draft {
  readonly logs: PolicyLog[];
  readonly witnesses: PolicyWitness[];
  readonly names: Map<string, Quorum>;
  /** Names that are a member of a group already. */
  readonly used: Set<string>;
  groups: number;
  quorum: Quorum | null;
}

type Refuse = (reason: string) => never;

function readLine(draft: Draft, [kind, ...words]: readonly string[], no: Refuse): void {
  if (kind === 'log') readLog(draft, words, no);
  else if (kind === 'witness') readWitness(draft, words, no);
  else if (kind === 'group') readGroup(draft, words, no);
  else if (kind === 'quorum') readQuorum(draft, words, no);
  else no('it begins with none of log, witness, group and quorum');
}

function readLog({ logs }: Draft, [vkey, url, ...rest]: readonly string[], no: Refuse): void {
  if (vkey === undefined || rest.length > 0) return no('it takes log <vkey> [<url>]');
  if (logs.length === MAX_OF_A_KIND) no(`there are more than ${MAX_OF_A_KIND} logs`);
  const verifier = keyOf(vkey, parseVerifierKey, no);
  if (logs.some((other) => isSameKey(other.verifier, verifier))) no('the log is there twice');
  logs.push({ verifier, url: url ?? null });
}

function readWitness(draft: Draft, [name, vkey, url, ...rest]: readonly string[], no: Refuse): void {
  if (name === undefined || vkey === undefined || rest.length > 0) return no('it takes witness <name> <vkey> [<url>]');
  if (draft.witnesses.length === MAX_OF_A_KIND) no(`there are more than ${MAX_OF_A_KIND} witnesses`);
  const verifier = keyOf(vkey, parseCosignerKey, no);
  if (draft.witnesses.some((other) => isSameKey(other.verifier, verifier))) no('the witness is there twice');
  const witness = { name, verifier, url: url ?? null };
  define(draft, { name, rule: { kind: 'witness', witness } }, no);
  draft.witnesses.push(witness);
}

function readGroup(draft: Draft, [name, count, ...names]: readonly string[], no: Refuse): void {
  if (name === undefined || count === undefined || names.length === 0)
    return no('it takes group <name> all|any|<k> <name>...');
  if (draft.groups === MAX_OF_A_KIND) no(`there are more than ${MAX_OF_A_KIND} groups`);
  const members = names.map((member) => draft.names.get(member) ?? no(`${shown(member)} is not defined before it`));
  for (const member of names) {
    if (draft.used.has(member)) no(`${shown(member)} is a member already`);
    draft.used.add(member);
  }
  const threshold = thresholdOf(count, members.length) ?? no(`the threshold lies not between 1 and ${members.length}`);
  define(draft, { name, rule: { kind: 'group', name, threshold, members } }, no);
  draft.groups += 1;
}

function readQuorum(draft: Draft, [name, ...rest]: readonly string[], no: Refuse): void {
  if (name === undefined || rest.length > 0) return no('it takes quorum <name>');
  if (draft.quorum !== null) no('there is a quorum already');
  draft.quorum =
    name === NOBODY ? { kind: NOBODY } : (draft.names.get(name) ?? no(`${shown(name)} is not defined before it`));
}

function define({ names }: Draft, { name, rule }: { name: string; rule: Quorum }, no: Refuse): void {
  if (name === NOBODY || names.has(name)) no(`the name ${shown(name)} is taken`);
  names.set(name, rule);
}

function thresholdOf(count: string, members: number): number | null {
  if (count === 'all') return members;
  if (count === 'any') return 1;
  return THRESHOLD.test(count) && Number(count) <= members ? Number(count) : null;
}

function keyOf<T>(text: string, parse: (text: string) => T, no: Refuse): T {
  try {
    return parse(utf8(text));
  } catch (error) {
    return no(error instanceof Error ? error.message : 'the key cannot be read');
  }
}

/** Names of keys are UTF-8 in notes, so here too. */
function utf8(octets: string): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(octets, 'latin1'));
}

function isSameKey(left: NoteVerifier, right: NoteVerifier): boolean {
  return rawPublicKey(left.publicKey).equals(rawPublicKey(right.publicKey));
}

/** The times of as many members as the rule needs, the earliest first, or null where they are too few. */
function countedTimes(rule: Quorum, times: ReadonlyMap<CosignatureVerifier, Date>): number[] | null {
  if (rule.kind === 'none') return [];
  if (rule.kind === 'witness') {
    const time = times.get(rule.witness.verifier);
    return time === undefined ? null : [time.getTime()];
  }
  const met = rule.members.map((member) => countedTimes(member, times)).filter((each) => each !== null);
  if (met.length < rule.threshold) return null;
  const earliest = met.toSorted((left, right) => Math.max(...left) - Math.max(...right));
  return earliest.slice(0, rule.threshold).flat();
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `witness policy: ${reason}`, { hint: `Policy: ${reason}.` });
}
