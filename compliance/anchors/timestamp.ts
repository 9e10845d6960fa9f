import { hash, randomBytes, X509Certificate } from 'node:crypto';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { MessageImprint, TimeStampReq, TimeStampReqVersion, TSTInfo } from '@peculiar/asn1-tsp';
import { AlgorithmIdentifier } from '@peculiar/asn1-x509';
import { ASN1Obj, RFC3161Timestamp } from '@sigstore/core';
import { asTenonError, fail, TenonError } from '#schema/errors.ts';
import { isTrusted } from './certificate-path.ts';

/** A request for a time stamp (RFC 3161 section 2.4.1), and the nonce that its answer must repeat. */
export interface TimestampRequest {
  /** DER, for `application/timestamp-query`. */
  readonly bytes: Buffer;
  /** Lower-case hex. */
  readonly nonce: string;
}

/** What a time stamp says: these data existed at that time. */
export interface Timestamp {
  readonly time: Date;
  /** The authority's, lower-case hex. */
  readonly serial: string;
  /** Subject of the certificate that signed, or its serial where none travels along. */
  readonly authority: string;
  /** False where no certificate was given to trust: then somebody has signed, but nobody knows who. */
  readonly trusted: boolean;
}

/** A time stamp and what it is checked against. */
export interface TimestampQuestion {
  /** The whole answer (DER), as the authority gave it. */
  readonly answer: Uint8Array;
  /** What was stamped. */
  readonly data: Uint8Array;
  /** The nonce of the request; not asked for where the request is gone. */
  readonly nonce?: string;
  /** Certificates of authorities, or of those who certify them. Empty: whoever signed. */
  readonly trusted: readonly X509Certificate[];
}

const SHA256 = '2.16.840.1.101.3.4.2.1';
const NONCE_BYTES = 8;
/** Tokens are some kilobytes with their certificates. */
export const MAX_ANSWER_BYTES = 64 * 1024;
const GRANTED = new Set([0n, 1n]);
const MAX_CERTIFICATES = 16;

/** Returns a request over data, which asks for the certificate too, so that the answer can be checked years later. */
export function timestampRequest(data: Uint8Array): TimestampRequest {
  const nonce = randomBytes(NONCE_BYTES);
  // A positive INTEGER of full length, whatever the chance.
  nonce[0] = ((nonce[0] ?? 0) & 0x3f) | 0x40;
  const request = new TimeStampReq({
    version: TimeStampReqVersion.v1,
    messageImprint: new MessageImprint({
      hashAlgorithm: new AlgorithmIdentifier({ algorithm: SHA256, parameters: null }),
      hashedMessage: new OctetString(hash('sha256', data, 'buffer')),
    }),
    nonce: new Uint8Array(nonce).buffer,
    certReq: true,
  });
  return { bytes: Buffer.from(AsnConvert.serialize(request)), nonce: nonce.toString('hex') };
}

/**
 * Returns what the answer of an authority says. Hostile input enters here: an answer that is none, that grants nothing,
 * that is about other data or another request, whose signature fails, or whose signer is no time stamp authority below a
 * trusted certificate is BAD_USER_INPUT.
 */
export function verifyTimestamp({ answer, data, nonce, trusted }: TimestampQuestion): Timestamp {
  if (answer.length > MAX_ANSWER_BYTES) refuse(`it is longer than ${MAX_ANSWER_BYTES} bytes`);
  try {
    const stamp = new SignedTimestamp(ASN1Obj.parseBuffer(Buffer.from(answer)));
    if (!GRANTED.has(stamp.status)) refuse(`the authority refuses with status ${stamp.status}`);
    const info = AsnConvert.parse(stamp.tstInfo.raw, TSTInfo);
    if (stamp.tstInfo.messageImprintHashAlgorithm !== 'sha256') refuse('it is over another hash than SHA-256');
    if (nonce !== undefined && hexOf(info.nonce) !== nonce) refuse('it answers another request');
    const carried = certificatesOf(stamp.root);
    const signer = signerOf(stamp, { data: Buffer.from(data), candidates: [...carried, ...trusted] });
    const time = stamp.tstInfo.genTime;
    if (trusted.length > 0 && !isTrusted(signer, { carried, trusted, time }))
      refuse(`${signer.subject} is no time stamp authority that is trusted`);
    return { time, serial: hexOf(info.serialNumber), authority: signer.subject, trusted: trusted.length > 0 };
  } catch (thrown) {
    // Whatever a parser of hostile bytes throws means the same.
    if (thrown instanceof TenonError) throw thrown;
    return refuse(asTenonError(thrown).message);
  }
}

/** The library names the algorithms of elliptic curves alone; with RSA the digest says what was signed. */
class SignedTimestamp extends RFC3161Timestamp {
  override get signatureAlgorithm(): string {
    return super.signatureAlgorithm ?? this.signerDigestAlgorithm;
  }
}

/** The certificate that the token names and whose key has signed it. */
function signerOf(
  stamp: SignedTimestamp,
  { data, candidates }: { data: Buffer; candidates: readonly X509Certificate[] },
): X509Certificate {
  const serial = serialText(stamp.signerSerialNumber.toString('hex'));
  const named = candidates.filter((certificate) => serialText(certificate.serialNumber) === serial);
  const [first] = named;
  if (first === undefined) return refuse('the certificate of its signer is missing');
  // The last fault is as good as any: the serial is the same.
  let fault: unknown;
  for (const certificate of named) {
    try {
      stamp.verify(data, certificate.publicKey);
      return certificate;
    } catch (thrown) {
      fault = thrown;
    }
  }
  return refuse(asTenonError(fault).message);
}

/** The certificates inside SignedData (RFC 5652 section 5.1): the element tagged [0]. */
function certificatesOf(root: ASN1Obj): X509Certificate[] {
  const signedData = root.subs[1]?.subs.find(({ tag }) => tag.isContextSpecific(0))?.subs[0];
  const set = signedData?.subs.find(({ tag }) => tag.isContextSpecific(0));
  return (set?.subs ?? []).slice(0, MAX_CERTIFICATES).map((each) => new X509Certificate(each.toDER()));
}

function serialText(hex: string): string {
  return hex.toLowerCase().replace(/^0+/, '');
}

function hexOf(integer: ArrayBuffer | undefined): string {
  return integer === undefined
    ? ''
    : Buffer.from(integer)
        .toString('hex')
        .replace(/^(?:00)+/, '');
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `time stamp: ${reason}`, { hint: `Time stamp: ${reason}.` });
}
