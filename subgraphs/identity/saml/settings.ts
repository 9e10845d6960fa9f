import { fail } from '#schema/errors.ts';
import { isValidAt, MAX_CERTIFICATES, readCertificate, type SigningCertificate } from './certificates.ts';

/** A certificate of the identity provider as it is stored. */
export interface StoredCertificate {
  readonly pem: string;
  /** When it was last warned of, as an ISO 8601 time; null where it was not. */
  readonly warnedAt: string | null;
}

/** What the settings of a connection of kind `saml` hold; nothing of it is secret. */
export interface SamlSettings {
  /** The entity id of the identity provider, which `Issuer` has to name. */
  readonly idpEntityId: string;
  /** Where requests are sent to (HTTP-Redirect). */
  readonly ssoUrl: string;
  readonly metadataUrl: string | null;
  /** When the metadata at that address was last taken over, as an ISO 8601 time. */
  readonly refreshedAt: string | null;
  readonly certificates: readonly StoredCertificate[];
  /** Whether a response that nobody asked for is taken. */
  readonly allowIdpInitiated: boolean;
  readonly encryptedAssertionsOnly: boolean;
  /** Whether AES-CBC is taken beside AES-GCM. */
  readonly allowCbc: boolean;
  readonly emailAttribute: string | null;
  readonly displayNameAttribute: string | null;
  /** Our own certificates, the one in use first; their private keys are the secret of the connection, in this order. */
  readonly serviceCertificates: readonly string[];
}

const MAX_LENGTH = 2_048;

/** Returns the settings of a connection as they are stored; another shape throws, since no caller can cause it. */
export function samlSettings(stored: Readonly<Record<string, unknown>>): SamlSettings {
  const settings = stored as unknown as SamlSettings;
  const texts = [settings.idpEntityId, settings.ssoUrl, ...(settings.serviceCertificates ?? [])];
  const lists = Array.isArray(settings.certificates) && Array.isArray(settings.serviceCertificates);
  if (!lists || texts.some((text) => typeof text !== 'string')) throw new Error('stored settings have no known shape');
  return settings;
}

/** Returns the settings if they may be stored; what may not is BAD_USER_INPUT. Whether the addresses may be reached is not judged. */
export function checkSettings(settings: SamlSettings): SamlSettings {
  const { idpEntityId, emailAttribute, displayNameAttribute, certificates } = settings;
  if (!isName(idpEntityId)) reject('The entity id of an identity provider is 1 to 1024 characters without spaces.');
  for (const name of [emailAttribute, displayNameAttribute])
    if (name !== null && (name.length === 0 || name.length > 500))
      reject('The name of an attribute has 1 to 500 characters.');
  if (certificates.length > MAX_CERTIFICATES) reject(`A connection has at most ${MAX_CERTIFICATES} certificates.`);
  return settings;
}

/** Returns an address that browsers are sent to; what is none is BAD_USER_INPUT. */
export function checkBrowserUrl(text: string, { httpsOnly }: { readonly httpsOnly: boolean }): string {
  const url = text.length <= MAX_LENGTH && URL.canParse(text) ? new URL(text) : null;
  const schemes = httpsOnly ? ['https:'] : ['https:', 'http:'];
  if (url === null || !schemes.includes(url.protocol) || url.username !== '' || url.password !== '')
    return reject(`An address of ${httpsOnly ? 'https' : 'http or https'} is expected.`);
  return text;
}

/** Returns the certificates of the identity provider, in the order in which they were added. */
export function certificatesOf({ certificates }: SamlSettings): (SigningCertificate & StoredCertificate)[] {
  return certificates.map((stored) => ({ ...readCertificate(stored.pem), ...stored }));
}

/** Returns the certificates that may sign now; one that is over, or not valid yet, is none. */
export function usableCertificates(settings: SamlSettings, now: Date): string[] {
  return certificatesOf(settings)
    .filter((certificate) => isValidAt(certificate, now))
    .map(({ pem }) => pem);
}

/** saml-core-2.0 section 8.3.6. */
function isName(text: string): boolean {
  return text.length > 0 && text.length <= 1_024 && !/[\s\p{Cc}]/u.test(text);
}

function reject(hint: string): never {
  return fail('BAD_USER_INPUT', 'settings of a SAML connection', { hint });
}
