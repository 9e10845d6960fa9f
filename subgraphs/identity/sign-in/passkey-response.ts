import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import { decodeAttestationObject, decodeClientDataJSON, isoBase64URL } from '@simplewebauthn/server/helpers';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';

/** Whose passkey it is, as the authenticator keeps it (WebAuthn section 5.4.3, `user.id`). */
export interface UserHandle {
  readonly tenant: Id<'tnt'>;
  readonly userId: Id<'usr'>;
}

const MAX_MEMBER = 16_384;
const UUID_BYTES = 16;
const BASE64URL = /^[\w-]+$/;

/** Returns the 32 bytes that an authenticator keeps of a person: her tenant's UUID and hers, so that it says where she is. */
export function userHandleOf({ tenant, userId }: UserHandle): Uint8Array<ArrayBuffer> {
  const hex = `${uuidOf('tnt', tenant)}${uuidOf('usr', userId)}`.replaceAll('-', '');
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

/** Returns whom a response names, or null where it names nobody. */
export function readUserHandle({ response }: AuthenticationResponseJSON): UserHandle | null {
  const bytes = Buffer.from(response.userHandle ?? '', 'base64url');
  if (bytes.length !== 2 * UUID_BYTES) return null;
  return {
    tenant: idOf('tnt', bytes.subarray(0, UUID_BYTES).toString('hex')),
    userId: idOf('usr', bytes.subarray(UUID_BYTES).toString('hex')),
  };
}

/** Returns what `PublicKeyCredential.toJSON()` gave for a new passkey; anything else is BAD_USER_INPUT. */
export function readRegistration(value: unknown): RegistrationResponseJSON {
  const { id, response } = readCredential(value);
  const clientDataJSON = base64urlIn(response, 'clientDataJSON');
  const attestationObject = base64urlIn(response, 'attestationObject');
  const { transports } = response;
  return {
    id,
    rawId: id,
    type: 'public-key',
    clientExtensionResults: {},
    response: { clientDataJSON, attestationObject, transports: isTransports(transports) ? transports : [] },
  };
}

/** Returns what `PublicKeyCredential.toJSON()` gave for a sign-in; anything else is BAD_USER_INPUT. */
export function readAuthentication(value: unknown): AuthenticationResponseJSON {
  const { id, response } = readCredential(value);
  return {
    id,
    rawId: id,
    type: 'public-key',
    clientExtensionResults: {},
    response: {
      clientDataJSON: base64urlIn(response, 'clientDataJSON'),
      authenticatorData: base64urlIn(response, 'authenticatorData'),
      signature: base64urlIn(response, 'signature'),
      userHandle: base64urlIn(response, 'userHandle'),
    },
  };
}

/** Returns the challenge that a browser says it was given, or null where its data cannot be read, or come from a frame of another site. */
export function challengeIn(clientData: string): string | null {
  try {
    const { challenge, crossOrigin } = decodeClientDataJSON(clientData);
    return typeof challenge === 'string' && crossOrigin !== true ? challenge : null;
  } catch {
    return null;
  }
}

/**
 * Tells whether an authenticator vouches for nothing but its new key: that is all we ask for, and a chain of certificates
 * would have to be followed, over addresses that whoever sends it may choose.
 */
export function hasNoCertificates(attestation: string): boolean {
  try {
    const decoded = decodeAttestationObject(isoBase64URL.toBuffer(attestation));
    const format = decoded.get('fmt');
    return format === 'none' || (format === 'packed' && decoded.get('attStmt').get('x5c') === undefined);
  } catch {
    return false;
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

function readCredential(value: unknown): { id: string; response: JsonObject } {
  if (
    !isObject(value) ||
    value['type'] !== 'public-key' ||
    !isObject(value['response']) ||
    value['rawId'] !== value['id']
  )
    return refuse('a credential');
  return { id: base64urlIn(value, 'id'), response: value['response'] };
}

function base64urlIn(object: JsonObject, name: string): string {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  const fits = typeof value === 'string' && value.length <= MAX_MEMBER && BASE64URL.test(value);
  return fits ? value : refuse(name);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTransports(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= 8 && value.every(isTransport);
}

function isTransport(value: unknown): boolean {
  return typeof value === 'string' && /^[a-z-]{1,32}$/.test(value);
}

function refuse(what: string): never {
  return fail('BAD_USER_INPUT', `the response of the authenticator has no ${what}`, {
    hint: 'It takes what PublicKeyCredential.toJSON() returns, of a passkey that names its user.',
  });
}
