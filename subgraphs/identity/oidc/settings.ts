import { fail } from '#schema/errors.ts';

/** Signatures of ID tokens that a connection may be set to; none of them is symmetric or absent. */
export const ID_TOKEN_ALGS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

/** How we prove to the token endpoint that we are the client; `none` is a public client, which PKCE alone protects. */
export const TOKEN_AUTH_METHODS = ['client_secret_basic', 'client_secret_post', 'none'] as const;

/** The public settings of a connection over OpenID Connect. */
export interface OidcSettings {
  /** As the identity provider writes it, to the character; its discovery document lies below. */
  readonly issuer: string;
  readonly clientId: string;
  readonly scopes: readonly string[];
  /** The one algorithm that ID tokens and logout tokens are accepted with. */
  readonly idTokenAlg: (typeof ID_TOKEN_ALGS)[number];
  readonly tokenAuth: (typeof TOKEN_AUTH_METHODS)[number];
  readonly emailClaim: string;
  /** The claim that says whether the address is verified; an identity provider without one names hers here. */
  readonly emailVerifiedClaim: string;
  readonly nameClaim: string;
  /** Parameters that the authorization request carries beside our own, such as `organization`. */
  readonly authorizationParameters: Readonly<Record<string, string>>;
}

/** What holds where nobody says otherwise. */
export const OIDC_DEFAULTS = {
  scopes: ['openid', 'email', 'profile'],
  idTokenAlg: 'RS256',
  tokenAuth: 'client_secret_basic',
  emailClaim: 'email',
  emailVerifiedClaim: 'email_verified',
  nameClaim: 'name',
  authorizationParameters: {},
} as const satisfies Partial<OidcSettings>;

/** Parameters that decide on the safety of the flow; nobody sets them from outside. */
const OWN_PARAMETERS: ReadonlySet<string> = new Set([
  'client_id',
  'client_secret',
  'redirect_uri',
  'response_type',
  'response_mode',
  'scope',
  'state',
  'nonce',
  'code_challenge',
  'code_challenge_method',
  'request',
  'request_uri',
  'claims',
  'code',
]);
const MAX_PARAMETERS = 10;

/** Returns settings that are whole, given or by default; what does not fit is BAD_USER_INPUT with a hint. */
export function checkOidcSettings(given: Partial<OidcSettings>): OidcSettings {
  const settings = { ...OIDC_DEFAULTS, ...given };
  const { issuer = '', clientId = '' } = settings;
  if (!isIssuer(issuer)) refuse('"issuer" takes an address without a query, such as https://login.example.com.');
  if (!isText(clientId, 1, 500)) refuse('"clientId" takes 1 to 500 characters.');
  if (!settings.scopes.includes('openid')) refuse('"scopes" needs openid.');
  if (settings.scopes.length > 20 || !settings.scopes.every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/.test(scope)))
    refuse('"scopes" takes at most 20 names without spaces.');
  if (!ID_TOKEN_ALGS.includes(settings.idTokenAlg)) refuse(`"idTokenAlg" takes one of ${ID_TOKEN_ALGS.join(', ')}.`);
  if (!TOKEN_AUTH_METHODS.includes(settings.tokenAuth))
    refuse(`"tokenAuth" takes one of ${TOKEN_AUTH_METHODS.join(', ')}.`);
  for (const name of ['emailClaim', 'emailVerifiedClaim', 'nameClaim'] as const)
    if (!isText(settings[name], 1, 200)) refuse(`"${name}" takes 1 to 200 characters.`);
  checkParameters(settings.authorizationParameters);
  return { ...settings, issuer, clientId };
}

/** Returns the settings of a connection as they are stored. */
export function oidcSettings({ settings }: { readonly settings: Readonly<Record<string, unknown>> }): OidcSettings {
  return checkOidcSettings(settings);
}

function checkParameters(parameters: Readonly<Record<string, string>>): void {
  const entries = Object.entries(parameters);
  if (entries.length > MAX_PARAMETERS) refuse(`"authorizationParameters" takes at most ${MAX_PARAMETERS}.`);
  for (const [name, value] of entries)
    if (OWN_PARAMETERS.has(name) || !/^[\w.-]{1,100}$/.test(name) || !isText(value, 0, 500))
      refuse(`"authorizationParameters" cannot hold ${name.slice(0, 64)}.`);
}

function isIssuer(text: string): boolean {
  if (!URL.canParse(text) || text.length > 1000) return false;
  const { protocol, search, hash, username } = new URL(text);
  return /^https?:$/.test(protocol) && search === '' && hash === '' && username === '';
}

function isText(value: unknown, least: number, most: number): boolean {
  return (
    typeof value === 'string' &&
    value.length >= least &&
    value.length <= most &&
    !/\p{Cc}/u.test(value) &&
    value.isWellFormed()
  );
}

function refuse(hint: string): never {
  return fail('BAD_USER_INPUT', 'the settings of a connection are not usable', { hint });
}
