import type { RequestContext } from '#kit/request-context.ts';
import type { IdentityConnection } from '../connections/model.ts';
import { expiresSoon, isValidAt } from './certificates.ts';
import type { SamlCertificate, SamlConnectionSettings } from './inputs.ts';
import { serviceProvider } from './service-provider.ts';
import { certificatesOf, samlSettings, type SamlSettings } from './settings.ts';

/** Says what a connection is set to, and what has to be filled in at the identity provider. */
export function shownSettings(ctx: RequestContext, connection: IdentityConnection): SamlConnectionSettings {
  const settings = samlSettings(connection.settings);
  const { entityId, acsUrl, startUrl } = serviceProvider(ctx, connection);
  const certificates = shownCertificates(settings, ctx.clock());
  return {
    ...settings,
    entityId: settings.idpEntityId,
    refreshedAt: settings.refreshedAt === null ? null : new Date(settings.refreshedAt),
    certificates,
    expiresSoon: !certificates.some((certificate) => certificate.inUse && !certificate.expiresSoon),
    serviceProvider: { entityId, acsUrl, startUrl, metadataUrl: entityId, certificates: settings.serviceCertificates },
  };
}

function shownCertificates(settings: SamlSettings, now: Date): SamlCertificate[] {
  return certificatesOf(settings).map((certificate) => {
    const { fingerprint, subject, validFrom, validUntil, pem } = certificate;
    const [inUse, soon] = [isValidAt(certificate, now), expiresSoon(certificate, now)];
    return { fingerprint, subject, validFrom, validUntil, pem, inUse, expiresSoon: soon };
  });
}
