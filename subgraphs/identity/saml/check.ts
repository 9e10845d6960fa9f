import type { RequestContext } from '#kit/request-context.ts';
import type { IdentityConnection } from '../connections/model.ts';
import { EXPIRY_WARNING_MS, isValidAt } from './certificates.ts';
import { certificatesOf, samlSettings } from './settings.ts';

/** One thing that was looked at. */
interface Finding {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Looks at a SAML connection before people sign in over it; whether the identity provider knows us shows the first sign-in alone. */
export async function checkSamlConnection(ctx: RequestContext, { settings }: IdentityConnection): Promise<Finding[]> {
  const saml = samlSettings(settings);
  const now = ctx.clock();
  const certificates = certificatesOf(saml);
  const valid = certificates.filter((certificate) => isValidAt(certificate, now));
  const ends = Math.max(0, ...valid.map(({ validUntil }) => validUntil.getTime()));
  const lasting = ends - now.getTime() > EXPIRY_WARNING_MS;
  return [
    {
      check: 'certificates',
      ok: valid.length > 0,
      detail:
        valid.length === 0
          ? 'No certificate of the identity provider is valid now.'
          : `${valid.length} of ${certificates.length} certificates are valid now${lasting ? '' : '; the last of them ends within thirty days'}.`,
    },
    {
      check: 'transport',
      ok: saml.ssoUrl.startsWith('https:') || ctx.platform.config.profile === 'embedded',
      detail: 'The single sign-on address has to be one of https.',
    },
  ];
}
