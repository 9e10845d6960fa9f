import {
  createRemoteJWKSet,
  customFetch as joseFetch,
  errors,
  jwtVerify,
  type JWTPayload,
  type RemoteJWKSet,
} from 'jose';
import { LRUCache } from 'lru-cache';
import {
  allowInsecureRequests,
  ClientSecretBasic,
  ClientSecretPost,
  clockSkew,
  clockTolerance,
  Configuration,
  customFetch,
  discovery,
  None,
  type ClientAuth,
  type CustomFetch,
  type ServerMetadata,
} from 'openid-client';
import { outgoingFetch } from '#kit/outgoing-http.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { connectionSecret } from '../connections/connection.ts';
import type { IdentityConnection } from '../connections/model.ts';
import { oidcSettings, type OidcSettings } from './settings.ts';

/** How far the clock of an identity provider may be from ours. */
export const CLOCK_TOLERANCE_S = 60;

/** An identity provider whose discovery document has been read. */
export interface OidcProvider {
  readonly settings: OidcSettings;
  readonly metadata: ServerMetadata;
  /** For one flow, at the platform's time. */
  readonly configuration: Configuration;
  readonly keys: RemoteJWKSet;
}

/** Addresses of an identity provider hardly ever change; her keys are asked for more often. */
const DISCOVERY_TTL_MS = 600_000;
const MOST_REMEMBERED = 1_000;

interface Discovered {
  readonly metadata: ServerMetadata;
  readonly keys: RemoteJWKSet;
}

/** By tenant, connection and version, so that a change of the settings is a new entry. */
const discovered = new LRUCache<string, Promise<Discovered>>({ max: MOST_REMEMBERED, ttl: DISCOVERY_TTL_MS });

/**
 * Returns the identity provider of a connection; discovery document and keys are remembered for minutes. One that does not
 * answer is SERVICE_UNAVAILABLE; an address that may not be reached, or a document of another issuer, throws as well.
 */
export async function oidcProvider(ctx: RequestContext, connection: IdentityConnection): Promise<OidcProvider> {
  const settings = oidcSettings(connection);
  const key = `${ctx.tenant.tenant}/${connection.id}/${connection.version}`;
  const known = discovered.get(key) ?? discover(ctx, settings);
  discovered.set(key, known, { noUpdateTTL: true });
  // What failed is asked for again the next time.
  known.catch(() => discovered.delete(key));
  const { metadata, keys } = await known;
  return { settings, metadata, keys, configuration: configure(ctx, { connection, settings, metadata }) };
}

/** Returns what an issuer says of itself, fetched now; throws where it cannot be fetched or is of another issuer. */
export async function discoverProvider(ctx: RequestContext, settings: OidcSettings): Promise<ServerMetadata> {
  const execute = ctx.platform.config.profile === 'embedded' ? [allowInsecureRequests] : [];
  const found = await discovery(new URL(settings.issuer), settings.clientId, undefined, None(), {
    execute,
    [customFetch]: fetchVia(ctx),
    timeout: 5,
  });
  const metadata = { ...found.serverMetadata() };
  if (metadata.issuer !== settings.issuer) fail('BAD_USER_INPUT', 'the discovery document is of another issuer');
  return metadata;
}

/**
 * Returns the claims of a token that the identity provider signed with a key of hers, for us, in the algorithm of the
 * connection; any other throws an error of jose. A key that is not known yet is asked for: at once where `isTrusted` says
 * that the token came from her own endpoint, at most twice a minute where it came from anybody.
 */
export async function verifySigned(
  ctx: RequestContext,
  { keys, settings }: Pick<OidcProvider, 'keys' | 'settings'>,
  { token, isTrusted }: { readonly token: string; readonly isTrusted: boolean },
): Promise<{ readonly claims: JWTPayload; readonly type: string | undefined }> {
  const verify = async () => {
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      issuer: settings.issuer,
      audience: settings.clientId,
      algorithms: [settings.idTokenAlg],
      clockTolerance: CLOCK_TOLERANCE_S,
      currentDate: ctx.clock(),
    });
    return { claims: payload, type: protectedHeader.typ };
  };
  try {
    return await verify();
  } catch (error) {
    if (!isTrusted || !(error instanceof errors.JWKSNoMatchingKey)) throw error;
    await keys.reload();
    return verify();
  }
}

async function discover(ctx: RequestContext, settings: OidcSettings): Promise<Discovered> {
  const metadata = await discoverProvider(ctx, settings);
  const { jwks_uri: keysAt } = metadata;
  if (keysAt === undefined) fail('BAD_USER_INPUT', 'the discovery document names no keys');
  const fetch: CustomFetch = fetchVia(ctx);
  return {
    metadata,
    keys: createRemoteJWKSet(new URL(keysAt), {
      [joseFetch]: (url, { headers }) =>
        fetch(url, { method: 'GET', headers: Object.fromEntries(headers), body: undefined, redirect: 'manual' }),
    }),
  };
}

function configure(
  ctx: RequestContext,
  {
    connection,
    settings,
    metadata,
  }: Omit<Discovered, 'keys'> & { connection: IdentityConnection; settings: OidcSettings },
): Configuration {
  const secret = connectionSecret(ctx, connection) ?? '';
  const configuration = new Configuration(
    metadata,
    settings.clientId,
    {
      id_token_signed_response_alg: settings.idTokenAlg,
      [clockSkew]: Math.round((ctx.clock().getTime() - Date.now()) / 1000),
      [clockTolerance]: CLOCK_TOLERANCE_S,
    },
    AUTHENTICATIONS[settings.tokenAuth](secret),
  );
  configuration[customFetch] = fetchVia(ctx);
  configuration.timeout = 5;
  if (ctx.platform.config.profile === 'embedded') allowInsecureRequests(configuration);
  return configuration;
}

const AUTHENTICATIONS: Readonly<Record<OidcSettings['tokenAuth'], (secret: string) => ClientAuth>> = {
  client_secret_basic: ClientSecretBasic,
  client_secret_post: ClientSecretPost,
  none: None,
};

/** Both libraries speak to an identity provider by the door that keeps them out of our own network. */
function fetchVia({ platform }: Pick<RequestContext, 'platform'>): CustomFetch {
  return async (url, { method, headers, body }) => {
    const text = body instanceof URLSearchParams ? body.toString() : body;
    return outgoingFetch(platform, url, {
      method,
      headers,
      ...(typeof text === 'string' ? { body: text } : {}),
    });
  };
}
