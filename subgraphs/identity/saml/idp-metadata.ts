import { fail, TenonError } from '#schema/errors.ts';
import { MAX_CERTIFICATES, readCertificate, type SigningCertificate } from './certificates.ts';
import { SamlRefusal } from './refusal.ts';
import { attribute, children, childrenNamed, isElement, parseXml, textOf, type XmlElement } from './xml-document.ts';
import { BINDING, NS } from './xml-names.ts';
import { METADATA_LIMITS } from './xml-scan.ts';

/** What metadata say of an identity provider. */
export interface IdpMetadata {
  readonly idpEntityId: string;
  readonly ssoUrl: string;
  /** The certificates whose keys sign, without those that cannot be read or are too weak. */
  readonly certificates: readonly SigningCertificate[];
}

/**
 * Reads the metadata of one identity provider (saml-metadata-2.0), by the same strict reader as responses; what cannot
 * be read, or lacks what is needed, is BAD_USER_INPUT with the reason. Their own signature is not looked at: they are as
 * good as the way on which the administrator got them.
 */
export function readIdpMetadata(text: string): IdpMetadata {
  try {
    return readRoot(parseXml(withoutComments(text), METADATA_LIMITS));
  } catch (error) {
    if (error instanceof SamlRefusal) return reject(`They cannot be read: ${error.message}.`, error);
    throw error;
  }
}

/** Metadata are often annotated by hand; in them, other than in what is signed, a comment changes nothing. */
function withoutComments(text: string): string {
  const parts = text.replace(/^\ufeff/, '').split('<!--');
  return parts.map((part, at) => (at === 0 ? part : afterComment(part))).join('');
}

function afterComment(part: string): string {
  const end = part.indexOf('-->');
  return end === -1 ? reject('A comment is not closed.') : part.slice(end + 3);
}

function readRoot(root: XmlElement): IdpMetadata {
  const entities = isElement(root, NS.metadata, 'EntitiesDescriptor')
    ? childrenNamed(root, NS.metadata, 'EntityDescriptor')
    : [root];
  const providers = entities.filter(
    (entity) => isElement(entity, NS.metadata, 'EntityDescriptor') && rolesOf(entity).length > 0,
  );
  const [provider, second] = providers;
  if (provider === undefined || second !== undefined)
    return reject('They must describe exactly one identity provider.');
  const [role, other] = rolesOf(provider);
  if (role === undefined || other !== undefined) return reject('The identity provider must have one IDPSSODescriptor.');
  const certificates = signingCertificates(role);
  if (certificates.length === 0) reject('They hold no signing certificate that can be used.');
  return {
    idpEntityId: attribute(provider, 'entityID') ?? reject('They name no entityID.'),
    ssoUrl: ssoUrlOf(role),
    certificates,
  };
}

function rolesOf(entity: XmlElement): XmlElement[] {
  return childrenNamed(entity, NS.metadata, 'IDPSSODescriptor').filter((role) =>
    (attribute(role, 'protocolSupportEnumeration') ?? '').split(/\s+/).includes(NS.protocol),
  );
}

function ssoUrlOf(role: XmlElement): string {
  const services = childrenNamed(role, NS.metadata, 'SingleSignOnService');
  const redirect = services.find((service) => attribute(service, 'Binding') === BINDING.redirect);
  return (
    (redirect === undefined ? null : attribute(redirect, 'Location')) ??
    reject('They name no SingleSignOnService of the binding HTTP-Redirect.')
  );
}

function signingCertificates(role: XmlElement): SigningCertificate[] {
  const texts = childrenNamed(role, NS.metadata, 'KeyDescriptor')
    .filter((key) => attribute(key, 'use') !== 'encryption')
    .flatMap((key) => descend([key], ['KeyInfo', 'X509Data', 'X509Certificate']))
    .map((element) => textOf(element));
  const readable = texts.flatMap(readableCertificate);
  const distinct = new Map(readable.map((certificate) => [certificate.fingerprint, certificate]));
  if (distinct.size > MAX_CERTIFICATES) reject(`They hold more than ${MAX_CERTIFICATES} signing certificates.`);
  return [...distinct.values()];
}

function descend(elements: readonly XmlElement[], path: readonly string[]): XmlElement[] {
  return path.reduce<XmlElement[]>(
    (found, name) =>
      found.flatMap((element) => children(element).filter((inner) => isElement(inner, NS.signature, name))),
    [...elements],
  );
}

function readableCertificate(text: string): SigningCertificate[] {
  try {
    return [readCertificate(text)];
  } catch (error) {
    if (error instanceof TenonError && error.code === 'BAD_USER_INPUT') return [];
    throw error;
  }
}

function reject(hint: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', 'metadata of an identity provider', {
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}
