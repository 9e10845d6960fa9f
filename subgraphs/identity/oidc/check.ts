import type { RequestContext } from '#kit/request-context.ts';
import { outgoingFetch, checkOutgoingUrl } from '#kit/outgoing-http.ts';
import { TenonError } from '#schema/errors.ts';
import type { IdentityConnection } from '../connections/model.ts';
import { discoverProvider } from './provider.ts';
import { oidcSettings, type OidcSettings } from './settings.ts';
import type { ServerMetadata } from 'openid-client';

/** One thing that was looked at before a connection is activated. */
export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** In words of our own: nothing that the other side wrote. */
  readonly detail: string;
}

/** Fetches what the identity provider of a connection says of itself, now, and tells whether people could sign in over it. */
export async function checkOidcConnection(ctx: RequestContext, connection: IdentityConnection): Promise<Finding[]> {
  const settings = oidcSettings(connection);
  const secret = finding('client_secret', settings.tokenAuth === 'none' || connection.secret !== null, {
    good: 'The client can prove who it is.',
    bad: `The token endpoint is told a client secret (${settings.tokenAuth}), but none is stored.`,
  });
  try {
    const metadata = await discoverProvider(ctx, settings);
    return [
      {
        check: 'discovery',
        ok: true,
        detail: 'The discovery document was read, and its issuer is the one of the settings.',
      },
      secret,
      ...checkMetadata(ctx, settings, metadata),
      await checkKeys(ctx, settings, metadata),
    ];
  } catch {
    return [{ check: 'discovery', ok: false, detail: discoveryFault(ctx, settings) }, secret];
  }
}

function checkMetadata(ctx: RequestContext, settings: OidcSettings, metadata: ServerMetadata): Finding[] {
  const endpoints = [metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri];
  const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
  const algs = metadata.id_token_signing_alg_values_supported ?? ['RS256'];
  const challenges = metadata.code_challenge_methods_supported;
  return [
    finding(
      'endpoints',
      endpoints.every((url) => isReachable(ctx, url)),
      {
        good: 'Authorization, token and key addresses are there.',
        bad: 'Authorization, token or key address is missing, or is not one that may be reached from here.',
      },
    ),
    finding('response_type', metadata.response_types_supported?.includes('code') !== false, {
      good: 'The authorization code flow is offered.',
      bad: 'The authorization code flow is not offered.',
    }),
    finding('id_token_alg', algs.includes(settings.idTokenAlg), {
      good: `ID tokens are signed with ${settings.idTokenAlg}.`,
      bad: `ID tokens are not signed with ${settings.idTokenAlg}; choose one of those that are offered.`,
    }),
    finding('token_auth', settings.tokenAuth === 'none' || methods.includes(settings.tokenAuth), {
      good: `The token endpoint takes ${settings.tokenAuth}.`,
      bad: `The token endpoint does not take ${settings.tokenAuth}.`,
    }),
    // Many offer it without saying so; only who names others and not S256 has none.
    finding('pkce', challenges === undefined || challenges.includes('S256'), {
      good: 'PKCE with S256 is not refused.',
      bad: 'PKCE with S256 is not offered.',
    }),
  ];
}

async function checkKeys(
  ctx: RequestContext,
  settings: OidcSettings,
  { jwks_uri: url }: ServerMetadata,
): Promise<Finding> {
  const words = { good: 'Keys were read.', bad: 'No key for this algorithm could be read.' };
  if (url === undefined) return finding('keys', false, words);
  try {
    const { keys } = (await (await outgoingFetch(ctx.platform, url)).json()) as { keys?: readonly { kty?: unknown }[] };
    const type = KEY_TYPES[settings.idTokenAlg.slice(0, 2)];
    return finding('keys', Array.isArray(keys) && keys.some((key) => key?.kty === type), words);
  } catch {
    return finding('keys', false, words);
  }
}

const KEY_TYPES: Readonly<Record<string, string>> = { RS: 'RSA', PS: 'RSA', ES: 'EC', Ed: 'OKP' };

function isReachable({ platform }: RequestContext, url: string | undefined): boolean {
  try {
    return url !== undefined && checkOutgoingUrl(platform, url) !== null;
  } catch {
    return false;
  }
}

/** What the text of an address shows is said; all else looks the same, so that nobody explores our network by trying. */
function discoveryFault({ platform }: RequestContext, { issuer }: OidcSettings): string {
  try {
    checkOutgoingUrl(platform, issuer);
  } catch (error) {
    if (error instanceof TenonError && error.hint !== undefined) return error.hint;
  }
  return 'The discovery document could not be read at <issuer>/.well-known/openid-configuration, or is of another issuer.';
}

function finding(check: string, ok: boolean, { good, bad }: { readonly good: string; readonly bad: string }): Finding {
  return { check, ok, detail: ok ? good : bad };
}
