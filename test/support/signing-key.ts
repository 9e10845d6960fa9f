import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { SigningKey } from '#kit/key-files.ts';
import { encodeVerifierKey, noteVerifier } from '#schema/signed-note.ts';

/** The PKCS 8 frame of an Ed25519 key (RFC 8410), in front of a seed that only tests use. */
const privateKey = createPrivateKey({
  key: Buffer.from(`302e020100300506032b657004220420${'42'.repeat(32)}`, 'hex'),
  format: 'der',
  type: 'pkcs8',
});
const publicKey = createPublicKey(privateKey);

/** Signs checkpoints and evidence in tests. */
export const TEST_SIGNING_KEY: SigningKey = {
  name: 'tenon.test',
  privateKey,
  publicKey,
  verifierKey: encodeVerifierKey(noteVerifier('tenon.test', publicKey)),
};
