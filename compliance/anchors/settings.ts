import { readFileSync } from 'node:fs';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { ConfigError, type Config } from '#schema/config.ts';
import { parseCosignerKey } from '#schema/cosignature.ts';
import { parseCertificates } from './certificate-path.ts';
import type { AnchorTurnOptions } from './turn.ts';

/**
 * Returns who stamps and cosigns the platform log by the settings. A file of certificates that cannot be read or holds
 * none, or that stands without an authority, is a ConfigError.
 */
export function anchorSources(
  config: Pick<Config, 'tsaUrl' | 'tsaCertificates' | 'tsaIntervalMs' | 'witnesses'>,
): Pick<AnchorTurnOptions, 'authority' | 'stampIntervalMs' | 'witnesses'> {
  const { tsaUrl, tsaCertificates, tsaIntervalMs, witnesses } = config;
  if (tsaUrl === null && tsaCertificates !== null)
    throw new ConfigError('TENON_TSA_CERTIFICATES is of use together with TENON_TSA_URL only');
  return {
    authority: tsaUrl === null ? null : { url: tsaUrl, certificates: certificatesIn(tsaCertificates) },
    stampIntervalMs: tsaIntervalMs,
    witnesses: witnesses.map(({ verifierKey, url }) => ({ url, verifier: parseCosignerKey(verifierKey) })),
  };
}

function certificatesIn(file: string | null): ReturnType<typeof parseCertificates> {
  if (file === null) return [];
  try {
    return parseCertificates(readFileSync(file, 'utf8'));
  } catch (error) {
    const reason = error instanceof ConfigError ? error.message : errnoOf(error);
    throw new ConfigError(`TENON_TSA_CERTIFICATES ${file} cannot be used: ${reason}`);
  }
}
