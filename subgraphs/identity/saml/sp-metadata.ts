import type { ServiceProvider } from './service-provider.ts';
import type { SamlSettings } from './settings.ts';
import { AUTHENTICATED_CIPHERS, BINDING, CBC_CIPHERS, KEY_TRANSPORT, NS } from './xml-names.ts';
import { escapeXml, pemBody } from './xml-text.ts';

/**
 * Returns what an identity provider reads to know us (saml-metadata-2.0): our names and addresses, that requests are
 * signed and assertions must be, and our certificates. Only the one in use is encrypted for.
 */
export function spMetadata(
  { entityId, acsUrl }: ServiceProvider,
  { serviceCertificates, allowCbc }: Pick<SamlSettings, 'serviceCertificates' | 'allowCbc'>,
): string {
  const methods = [KEY_TRANSPORT, ...AUTHENTICATED_CIPHERS, ...(allowCbc ? CBC_CIPHERS : [])];
  const ciphers = methods.map((method) => `<md:EncryptionMethod Algorithm="${method}"/>`).join('');
  const [current = ''] = serviceCertificates;
  const keys = [
    ...serviceCertificates.map((pem) => keyDescriptor('signing', pem, '')),
    keyDescriptor('encryption', current, ciphers),
  ];
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<md:EntityDescriptor xmlns:md="${NS.metadata}" xmlns:ds="${NS.signature}" ` +
    `entityID="${escapeXml(entityId)}"><md:SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" ` +
    `protocolSupportEnumeration="${NS.protocol}">${keys.join('')}` +
    `<md:AssertionConsumerService Binding="${BINDING.post}" Location="${escapeXml(acsUrl)}" index="0" isDefault="true"/>` +
    `</md:SPSSODescriptor></md:EntityDescriptor>\n`
  );
}

function keyDescriptor(use: 'signing' | 'encryption', pem: string, methods: string): string {
  return (
    `<md:KeyDescriptor use="${use}"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>${pemBody(pem)}</ds:X509Certificate>` +
    `</ds:X509Data></ds:KeyInfo>${methods}</md:KeyDescriptor>`
  );
}
