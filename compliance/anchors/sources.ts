import type { X509Certificate } from 'node:crypto';
import { outgoingFetch } from '#kit/outgoing-http.ts';
import { verifyCosignatures, type CosignatureVerifier } from '#schema/cosignature.ts';
import { fail } from '#schema/errors.ts';
import { encodeSignatureLine, parseNote } from '#schema/signed-note.ts';
import { encodeAddCheckpoint } from '../witness/add-checkpoint.ts';
import { MAX_ANSWER_BYTES, timestampRequest, verifyTimestamp, type Timestamp } from './timestamp.ts';

/** A time stamp authority (RFC 3161 over HTTP). */
export interface TimestampAuthority {
  readonly url: string;
  /** It, or who certifies it; empty takes whoever answers. */
  readonly certificates: readonly X509Certificate[];
}

/** A witness (C2SP tlog-witness) that is asked. */
export interface AskedWitness {
  readonly url: string;
  readonly verifier: CosignatureVerifier;
}

/** What a witness has answered. */
export type WitnessReply =
  /** Its signature line, verified. */
  | { readonly kind: 'cosigned'; readonly line: string; readonly time: Date }
  /** It has last cosigned a checkpoint of that size. */
  | { readonly kind: 'outdated'; readonly size: number };

/** The operator has named the addresses, and every answer is signed: many authorities speak plain HTTP. */
const NAMED_BY_OPERATOR = { config: { profile: 'production', outgoingPrivate: 'allow-http' } } as const;
const TIMEOUT_MS = 10_000;
const MAX_LINES_BYTES = 16 * 1024;
/** An authority whose clock says something else proves nothing about time. */
const MOST_CLOCK_DIFFERENCE_MS = 60 * 60_000;
const SIZE_LINE = /^(0|[1-9][0-9]{0,15})\n?$/;

/**
 * Returns the answer of an authority over data, verified, with what it says. One that is away, refuses, or answers with
 * anything else than a good time stamp of about now is SERVICE_UNAVAILABLE.
 */
export async function askTimestamp(
  authority: TimestampAuthority,
  data: Uint8Array,
  now: () => Date,
): Promise<{ readonly answer: Buffer; readonly stamp: Timestamp }> {
  const request = timestampRequest(data);
  const response = await outgoingFetch(NAMED_BY_OPERATOR, authority.url, {
    method: 'POST',
    headers: { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' },
    body: request.bytes,
    timeoutMs: TIMEOUT_MS,
    maxBytes: MAX_ANSWER_BYTES,
  });
  if (response.status !== 200) away(`the authority answers with status ${response.status}`);
  const answer = Buffer.from(await response.arrayBuffer());
  const stamp = checked(() => verifyTimestamp({ answer, data, nonce: request.nonce, trusted: authority.certificates }));
  const differenceMs = Math.abs(stamp.time.getTime() - now().getTime());
  if (differenceMs > MOST_CLOCK_DIFFERENCE_MS) away('the clock of the authority differs by more than an hour');
  return { answer, stamp };
}

/**
 * Sends a checkpoint to a witness and returns its verified answer. One that is away, does not know the log, or answers
 * with anything else than its own signature is SERVICE_UNAVAILABLE; one that finds the log not continuing is CONFLICT.
 */
export async function askWitness(
  { url, verifier }: AskedWitness,
  request: { readonly oldSize: number; readonly proof: readonly Buffer[]; readonly note: string },
  now: () => Date,
): Promise<WitnessReply> {
  const response = await outgoingFetch(NAMED_BY_OPERATOR, `${url.replace(/\/+$/, '')}/add-checkpoint`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    body: encodeAddCheckpoint(request),
    timeoutMs: TIMEOUT_MS,
    maxBytes: MAX_LINES_BYTES,
  });
  const text = await response.text();
  if (response.status === 409) return outdated(text);
  if (response.status === 422) fail('CONFLICT', 'the witness finds that the log does not continue what it has seen');
  if (response.status !== 200) away(`the witness answers with status ${response.status}`);
  return checked(() => ownLine(request.note, text, { verifier, now: now() }));
}

function outdated(text: string): WitnessReply {
  const size = Number(SIZE_LINE.exec(text)?.[1] ?? Number.NaN);
  return Number.isSafeInteger(size) ? { kind: 'outdated', size } : away('the witness answers 409 without a size');
}

/** Of what it has answered its own line alone is kept. */
function ownLine(
  note: string,
  lines: string,
  { verifier, now }: { verifier: CosignatureVerifier; now: Date },
): WitnessReply {
  const [cosignature] = verifyCosignatures(note + lines, [verifier], now).cosignatures;
  if (cosignature === undefined) return away('the witness has not signed with its key');
  const { signatures } = parseNote(note + lines);
  const own = signatures.filter(({ name, keyId }) => name === verifier.name && keyId === verifier.keyId);
  return { kind: 'cosigned', line: own.map(encodeSignatureLine).join(''), time: cosignature.time };
}

/** What somebody else sends is never the caller's fault. */
function checked<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    return away(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

function away(reason: string): never {
  return fail('SERVICE_UNAVAILABLE', reason);
}
