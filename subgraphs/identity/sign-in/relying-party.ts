import type { Platform } from '#kit/request-context.ts';

/** Who asks for passkeys, as browsers and authenticators know it (WebAuthn section 5.4.2). */
export interface RelyingParty {
  /** The domain that the passkeys belong to. */
  readonly id: string;
  readonly name: string;
  /** Where they may be made and used. */
  readonly origins: readonly string[];
}

/** Returns the relying party that the settings and the public address of the platform name. */
export function relyingParty({ config, publicUrl }: Pick<Platform, 'config' | 'publicUrl'>): RelyingParty {
  const own = new URL(publicUrl);
  // Browsers refuse passkeys for an address that is no name; the loopback one has a name that they take.
  if (LOOPBACK.has(own.hostname)) own.hostname = 'localhost';
  return {
    id: config.passkeyRpId ?? own.hostname,
    name: config.deployment,
    origins: [own.origin, ...(config.passkeyOrigins ?? [])],
  };
}

const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '[::1]']);
