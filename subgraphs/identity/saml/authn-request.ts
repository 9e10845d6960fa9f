import { createSign } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { BINDING, NS } from './xml-names.ts';
import { escapeXml } from './xml-text.ts';

/** A request to sign somebody in. */
export interface AuthnRequest {
  /** An NCName that nobody can guess; the assertion names it as `InResponseTo`. */
  readonly id: string;
  readonly issuedAt: Date;
  /** Where the browser is sent to. */
  readonly destination: string;
  readonly issuer: string;
  readonly acsUrl: string;
  /** Whether she has to prove herself anew. */
  readonly forceAuthn: boolean;
}

const RSA_SHA256 = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256';

/**
 * Returns the address that takes a signed request to the identity provider: binding HTTP-Redirect with DEFLATE
 * (saml-bindings-2.0 section 3.4.4.1), RSA-SHA256 with the key, given as PEM.
 */
export function redirectUrl(request: AuthnRequest, privateKey: string): string {
  const message = deflateRawSync(Buffer.from(requestXml(request))).toString('base64');
  // The signature is over these octets in this order, so they are sent as they were signed.
  const signed = `SAMLRequest=${encodeURIComponent(message)}&SigAlg=${encodeURIComponent(RSA_SHA256)}`;
  const signature = createSign('sha256').update(signed).sign(privateKey, 'base64');
  const separator = request.destination.includes('?') ? '&' : '?';
  return `${request.destination}${separator}${signed}&Signature=${encodeURIComponent(signature)}`;
}

function requestXml({ id, issuedAt, destination, issuer, acsUrl, forceAuthn }: AuthnRequest): string {
  const instant = issuedAt.toISOString().replace(/\.\d+Z$/, 'Z');
  return (
    `<samlp:AuthnRequest xmlns:samlp="${NS.protocol}" xmlns:saml="${NS.assertion}" ID="${escapeXml(id)}" Version="2.0" ` +
    `IssueInstant="${instant}" Destination="${escapeXml(destination)}"${forceAuthn ? ' ForceAuthn="true"' : ''} ` +
    `ProtocolBinding="${BINDING.post}" AssertionConsumerServiceURL="${escapeXml(acsUrl)}">` +
    `<saml:Issuer>${escapeXml(issuer)}</saml:Issuer><samlp:NameIDPolicy AllowCreate="true"/></samlp:AuthnRequest>`
  );
}
