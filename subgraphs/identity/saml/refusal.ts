/**
 * Why a sign-in over SAML was refused; the closed list that audit events carry as `reason`. An administrator reads it,
 * the browser does not.
 */
export const SAML_REFUSALS = {
  document: 'It is no XML that is read here: too large, too deep, a document type, a comment, or not well-formed.',
  structure: 'It is no SAML response with exactly one assertion where one belongs.',
  status: 'The identity provider says that it signed nobody in.',
  algorithm: 'It is signed or encrypted in a way that is not accepted.',
  unsigned: 'Neither the response nor the assertion is signed.',
  signature: 'A signature is not one of the certificates of the connection that are valid now.',
  certificate: 'No certificate of the connection is valid now.',
  decryption: 'The assertion cannot be decrypted.',
  not_encrypted: 'The connection takes encrypted assertions only.',
  issuer: 'It comes from another identity provider.',
  destination: 'It was sent to another address.',
  recipient: 'It is meant for another address.',
  confirmation: 'It is not confirmed for whoever brings it (bearer).',
  audience: 'It is meant for another service.',
  expired: 'It is not valid any more.',
  not_yet_valid: 'It is not valid yet.',
  session_ended: 'The session at the identity provider has ended.',
  statement: 'It does not say that somebody signed in.',
  subject: 'It does not name the person in a way that can be read.',
  email: 'It holds no e-mail address of the person.',
  unsolicited: 'Nobody had asked for it, and the connection takes no such response.',
  request: 'It answers a request that is unknown, used up, expired, or of another browser.',
  replay: 'The assertion was used before.',
} as const;

/** One reason of the list. */
export type SamlReason = keyof typeof SAML_REFUSALS;

/** Thrown where a document is refused; `detail` is for tests and logs and holds nothing that the document said. */
export class SamlRefusal extends Error {
  override readonly name = 'SamlRefusal';
  readonly reason: SamlReason;

  constructor(reason: SamlReason, detail: string, cause?: unknown) {
    super(`${reason}: ${detail}`, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

/** Refuses the document. */
export function refuse(reason: SamlReason, detail: string, cause?: unknown): never {
  throw new SamlRefusal(reason, detail, cause);
}
