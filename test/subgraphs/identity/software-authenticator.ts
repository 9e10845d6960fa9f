import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isoCBOR } from '@simplewebauthn/server/helpers';

/** What a server asks of `navigator.credentials.create`, as JSON. */
export interface CreationOptions {
  readonly challenge: string;
  readonly rp: { readonly id: string };
  readonly user: { readonly id: string; readonly name: string };
  readonly excludeCredentials: readonly { readonly id: string }[];
  readonly authenticatorSelection: Readonly<Record<string, unknown>>;
}

/** What a server asks of `navigator.credentials.get`, as JSON. */
export interface RequestOptions {
  readonly challenge: string;
  readonly rpId: string;
  readonly userVerification: string;
}

/** What a ceremony does otherwise than an honest browser and authenticator would. */
export interface Deviation {
  readonly origin?: string;
  readonly rpId?: string;
  readonly userVerified?: boolean;
  readonly type?: string;
  readonly crossOrigin?: boolean;
  readonly userHandle?: string;
  readonly credentialId?: string;
  readonly counter?: number;
}

/** A passkey in memory, with the browser around it (WebAuthn level 3, sections 5 and 6). */
export interface SoftwarePasskey {
  /** Answers `create`, as `PublicKeyCredential.toJSON()` writes it. */
  create(options: CreationOptions, deviation?: Deviation): Record<string, unknown>;
  /** Answers `get`, for the user that it was made for. */
  get(options: RequestOptions, deviation?: Deviation): AssertionJson;
  /** Returns another authenticator with the same key and counter. */
  clone(): SoftwarePasskey;
}

/** An answer to `get`. */
export interface AssertionJson {
  readonly id: string;
  readonly rawId: string;
  readonly type: string;
  readonly response: {
    readonly clientDataJSON: string;
    readonly authenticatorData: string;
    readonly signature: string;
    readonly userHandle: string;
  };
}

const FLAGS = { userPresent: 0x01, userVerified: 0x04, attested: 0x40 };

interface State {
  readonly id: Buffer;
  readonly key: KeyObject;
  readonly cose: Buffer;
  readonly hash: 'sha256' | null;
  readonly origin: string;
  /** False where it counts nothing, as synced passkeys do. */
  readonly counts: boolean;
  counter: number;
  userHandle: string;
}

/** Makes a passkey whose key is P-256 or Ed25519. */
export function newPasskey(
  origin: string,
  { algorithm = 'ES256', counts = true }: { algorithm?: 'ES256' | 'EdDSA'; counts?: boolean } = {},
): SoftwarePasskey {
  return passkeyOf({ id: randomBytes(32), origin, counts, counter: 0, userHandle: '', ...keyOf(algorithm) });
}

function passkeyOf(state: State): SoftwarePasskey {
  return {
    create: (options, deviation = {}) => {
      state.userHandle = options.user.id;
      const clientDataJSON = clientData(state, { type: 'webauthn.create', challenge: options.challenge }, deviation);
      const attested = Buffer.concat([Buffer.alloc(16), uint16(state.id.length), state.id, state.cose]);
      const authData = Buffer.concat([authenticatorData(state, options.rp.id, deviation, FLAGS.attested), attested]);
      const attestation = new Map<string, unknown>([
        ['fmt', 'none'],
        ['attStmt', new Map()],
        ['authData', new Uint8Array(authData)],
      ]);
      const attestationObject = Buffer.from(isoCBOR.encode(attestation as never)).toString('base64url');
      const id = state.id.toString('base64url');
      return {
        id,
        rawId: id,
        type: 'public-key',
        clientExtensionResults: {},
        response: { clientDataJSON: clientDataJSON.toString('base64url'), attestationObject, transports: ['internal'] },
      };
    },
    get: (options, deviation = {}) => {
      if (state.counts) state.counter += 1;
      const clientDataJSON = clientData(state, { type: 'webauthn.get', challenge: options.challenge }, deviation);
      const data = authenticatorData(state, options.rpId, deviation, 0);
      const signed = Buffer.concat([data, createHash('sha256').update(clientDataJSON).digest()]);
      const id = deviation.credentialId ?? state.id.toString('base64url');
      return {
        id,
        rawId: id,
        type: 'public-key',
        response: {
          clientDataJSON: clientDataJSON.toString('base64url'),
          authenticatorData: data.toString('base64url'),
          signature: sign(state.hash, signed, state.key).toString('base64url'),
          userHandle: deviation.userHandle ?? state.userHandle,
        },
      };
    },
    clone: () => passkeyOf({ ...state }),
  };
}

function clientData(state: State, about: { type: string; challenge: string }, deviation: Deviation): Buffer {
  const { origin = state.origin, type = about.type, crossOrigin = false } = deviation;
  return Buffer.from(JSON.stringify({ type, challenge: about.challenge, origin, crossOrigin }));
}

function authenticatorData(state: State, rpId: string, deviation: Deviation, more: number): Buffer {
  const verified = deviation.userVerified === false ? 0 : FLAGS.userVerified;
  const counter = Buffer.alloc(4);
  counter.writeUInt32BE(deviation.counter ?? state.counter);
  const hash = createHash('sha256')
    .update(deviation.rpId ?? rpId)
    .digest();
  return Buffer.concat([hash, Buffer.from([FLAGS.userPresent | verified | more]), counter]);
}

/** COSE keys of RFC 9053: EC2 on P-256, or OKP on Ed25519. */
function keyOf(algorithm: 'ES256' | 'EdDSA'): Pick<State, 'key' | 'cose' | 'hash'> {
  const { privateKey, publicKey } =
    algorithm === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64url'));
  const shared: [number, unknown][] =
    algorithm === 'ES256'
      ? [
          [1, 2],
          [3, -7],
          [-1, 1],
        ]
      : [
          [1, 1],
          [3, -8],
          [-1, 6],
        ];
  const map = new Map([
    ...shared,
    [-2, bytes(x)] as const,
    ...(algorithm === 'ES256' ? [[-3, bytes(y)] as const] : []),
  ]);
  return {
    key: privateKey,
    cose: Buffer.from(isoCBOR.encode(map as never)),
    hash: algorithm === 'ES256' ? 'sha256' : null,
  };
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
