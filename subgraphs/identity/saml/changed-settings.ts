import type { RequestContext } from '#kit/request-context.ts';
import type { SigningCertificate } from './certificates.ts';
import type { IdpMetadata } from './idp-metadata.ts';
import type { UpdateSamlConnectionInput } from './inputs.ts';
import { checkBrowserUrl, checkSettings, type SamlSettings, type StoredCertificate } from './settings.ts';

/** What an administrator says of a connection: fields one by one, and the metadata that she named. */
export interface GivenSettings {
  readonly input: Partial<Omit<UpdateSamlConnectionInput, 'connectionId' | 'name'>>;
  readonly metadata: IdpMetadata | null;
}

/** The settings of a connection of which nothing has been said. */
export const NEW_SETTINGS: SamlSettings = {
  idpEntityId: '',
  ssoUrl: '',
  metadataUrl: null,
  refreshedAt: null,
  certificates: [],
  allowIdpInitiated: false,
  encryptedAssertionsOnly: false,
  allowCbc: false,
  emailAttribute: null,
  displayNameAttribute: null,
  serviceCertificates: [],
};

/**
 * Returns the settings after a change; what is not given stays, what is given as null is unset, and what is named goes
 * before the metadata. What may not be stored is BAD_USER_INPUT.
 */
export function changedSettings(ctx: RequestContext, settings: SamlSettings, given: GivenSettings): SamlSettings {
  const { input, metadata } = given;
  return checkSettings({
    ...settings,
    ...provider(ctx, settings, given),
    certificates: metadata === null ? settings.certificates : storedOnce(metadata.certificates, settings.certificates),
    metadataUrl: input.metadataUrl === undefined ? settings.metadataUrl : input.metadataUrl,
    refreshedAt: typeof input.metadataUrl === 'string' ? ctx.clock().toISOString() : settings.refreshedAt,
    allowIdpInitiated: input.allowIdpInitiated ?? settings.allowIdpInitiated,
    encryptedAssertionsOnly: input.encryptedAssertionsOnly ?? settings.encryptedAssertionsOnly,
    allowCbc: input.allowCbc ?? settings.allowCbc,
    emailAttribute: input.emailAttribute === undefined ? settings.emailAttribute : input.emailAttribute,
    displayNameAttribute:
      input.displayNameAttribute === undefined ? settings.displayNameAttribute : input.displayNameAttribute,
  });
}

/** Returns certificates as they are stored, each once; one that was there before keeps when it was warned of. */
export function storedOnce(
  certificates: readonly Pick<SigningCertificate, 'pem'>[],
  before: readonly StoredCertificate[] = [],
): StoredCertificate[] {
  const warnings = new Map(before.map(({ pem, warnedAt }) => [pem, warnedAt]));
  const pems = new Set(certificates.map(({ pem }) => pem));
  return [...pems].map((pem) => ({ pem, warnedAt: warnings.get(pem) ?? null }));
}

function provider(
  ctx: RequestContext,
  settings: SamlSettings,
  { input, metadata }: GivenSettings,
): Pick<SamlSettings, 'idpEntityId' | 'ssoUrl'> {
  const ssoUrl = input.ssoUrl ?? metadata?.ssoUrl ?? settings.ssoUrl;
  return {
    idpEntityId: input.entityId ?? metadata?.idpEntityId ?? settings.idpEntityId,
    ssoUrl: checkBrowserUrl(ssoUrl, { httpsOnly: ctx.platform.config.profile !== 'embedded' }),
  };
}
