import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { RouteRequest } from '#kit/route.ts';
import { admitUser } from '../connections/admission.ts';
import { activeConnection } from '../connections/connection.ts';
import { consumeFlow, startFlow } from '../connections/flow.ts';
import { ConnectionKind, type IdentityConnection } from '../connections/model.ts';
import { inSignIn, recordingRefusals, refuseSignIn, type Refusal } from '../connections/refusal.ts';
import { useOnce } from '../connections/used-assertion.ts';
import type { Continuation } from '../sessions/continuation.ts';
import { openSession, type OpenedSession } from '../sessions/session.ts';
import { redirectUrl } from './authn-request.ts';
import { warnOfExpiry } from './certificate-warning.ts';
import { personOf } from './person.ts';
import { readIdentity, type SamlIdentity } from './profile.ts';
import { SamlRefusal, type SamlReason } from './refusal.ts';
import { decodeMessage } from './response-message.ts';
import { servicePrivateKeys, serviceProvider } from './service-provider.ts';
import { samlSettings, usableCertificates } from './settings.ts';
import { verifySignedAssertion } from './signed-assertion.ts';

/** What a sign-in is begun with. */
export interface SamlStart {
  readonly connection: string;
  /** Whether she has to prove herself to the identity provider anew. */
  readonly forceAuthn: boolean;
  /** The app that waits for her; null where none does. */
  readonly continuation: Continuation | null;
}

/**
 * Begins a sign-in by a signed request (HTTP-Redirect); returns where the browser goes and the cookie that it comes back
 * with. A connection that is not active is UNAUTHENTICATED.
 */
export async function startSamlSignIn(
  ctx: RequestContext,
  start: SamlStart,
): Promise<{ readonly location: string; readonly cookie: string }> {
  return inTenant(ctx, async (tx) => {
    const connection = await activeConnection(tx, { id: start.connection, kind: ConnectionKind.SAML });
    const { entityId, acsUrl } = serviceProvider(ctx, connection);
    const content: FlowContent = { continuation: start.continuation };
    // The state of the flow is the id of the request: it comes back signed, as InResponseTo, and RelayState is not needed.
    const { state, cookie } = await startFlow(tx, ctx, { connection, content: JSON.stringify(content) });
    const request = {
      id: state,
      issuedAt: ctx.clock(),
      destination: samlSettings(connection.settings).ssoUrl,
      issuer: entityId,
      acsUrl,
      forceAuthn: start.forceAuthn,
    };
    await warnOfExpiry(tx, ctx, connection);
    const [key = ''] = servicePrivateKeys(ctx, connection);
    return { location: redirectUrl(request, key), cookie };
  });
}

/**
 * Ends a sign-in whose response was posted to its connection: verifies it, uses up the request it answers and the
 * assertion itself, and opens the session of whom it stands for, all or nothing. Anything else is refused, with an audit
 * event that says why; a refused response leaves the request to the right one.
 */
export async function finishSamlSignIn(
  ctx: RequestContext,
  {
    connection: id,
    message,
    req,
  }: { readonly connection: string; readonly message: string; readonly req: RouteRequest },
): Promise<OpenedSession> {
  const named = await inTenant(ctx, (tx) => activeConnection(tx, { id, kind: ConnectionKind.SAML }));
  const identity = await recordingRefusals(ctx, () => refusing(named, () => identityIn(ctx, named, message)));
  return inSignIn(ctx, async (tx) => {
    // It may have been disabled, or turned against such responses, while the document was verified.
    const connection = await activeConnection(tx, { id, kind: ConnectionKind.SAML });
    return refusing(connection, () => openFor(tx, ctx, { connection, identity, req }));
  });
}

interface FlowContent {
  readonly continuation: Continuation | null;
}

interface VerifiedSignIn {
  readonly connection: IdentityConnection;
  readonly identity: SamlIdentity;
  readonly req: RouteRequest;
}

async function identityIn(ctx: RequestContext, connection: IdentityConnection, message: string): Promise<SamlIdentity> {
  const settings = samlSettings(connection.settings);
  const { entityId, acsUrl } = serviceProvider(ctx, connection);
  const now = ctx.clock();
  const signed = await verifySignedAssertion(decodeMessage(message), {
    certificates: usableCertificates(settings, now),
    decryptionKeys: servicePrivateKeys(ctx, connection),
    options: { cbc: settings.allowCbc },
    encryptedOnly: settings.encryptedAssertionsOnly,
  });
  return readIdentity(signed, { issuer: settings.idpEntityId, audience: entityId, recipient: acsUrl, now });
}

async function openFor(tx: TenantTransaction, ctx: RequestContext, verified: VerifiedSignIn): Promise<OpenedSession> {
  const { connection, identity } = verified;
  const continuation = await useUpRequest(tx, ctx, verified);
  const { assertionId, usableUntil, nameId, sessionIndex } = identity;
  if (!(await useOnce(tx, { connection: connection.id, id: assertionId, expiresAt: usableUntil }, ctx.clock())))
    throw new SamlRefusal('replay', 'used before');
  const settings = samlSettings(connection.settings);
  const person = personOf(identity, {
    email: settings.emailAttribute,
    displayName: settings.displayNameAttribute,
    groups: connection.groupsAttribute,
  });
  // The identity provider vouches for the address as for all it signs; admission asks whether the domain is the tenant's.
  const userId = await admitUser(tx, ctx, { connection, emailVerified: true, ...person });
  return openSession(tx, ctx, {
    userId,
    method: 'saml',
    amr: amrOf(identity.authnContext),
    identityProvider: { connection: connection.id, subject: nameId, sessionId: sessionIndex },
    context: { idp_initiated: identity.inResponseTo === null },
    continuation,
  });
}

/** Whatever it answers has to be a request of this browser to this connection; only some connections take no request. */
async function useUpRequest(
  tx: TenantTransaction,
  ctx: RequestContext,
  { connection, identity, req }: VerifiedSignIn,
): Promise<Continuation | null> {
  const { inResponseTo } = identity;
  if (inResponseTo !== null) {
    const content = await consumeFlow(tx, ctx, { connection, state: inResponseTo, req });
    return (JSON.parse(content) as FlowContent).continuation;
  }
  if (!samlSettings(connection.settings).allowIdpInitiated) throw new SamlRefusal('unsolicited', 'not asked for');
  return null;
}

/** Says the refusals of this protocol in the words of all. */
async function refusing<T>(connection: IdentityConnection, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SamlRefusal)) throw error;
    const context = { rule: error.reason };
    return refuseSignIn(
      { reason: REASONS[error.reason] ?? 'invalid_assertion', connection, context },
      { cause: error },
    );
  }
}

const REASONS: Partial<Record<SamlReason, Refusal['reason']>> = {
  status: 'provider_refused',
  unsolicited: 'unknown_flow',
  request: 'unknown_flow',
  replay: 'replayed_assertion',
  email: 'no_email',
};

/** In the words of RFC 8176; of a class that is not known nothing is said. */
function amrOf(authnContext: string | null): string[] {
  const word = authnContext === null ? undefined : AMR.get(authnContext);
  return word === undefined ? [] : [word];
}

const CLASSES = 'urn:oasis:names:tc:SAML:2.0:ac:classes:';
const AMR: ReadonlyMap<string, string> = new Map([
  [`${CLASSES}Password`, 'pwd'],
  [`${CLASSES}PasswordProtectedTransport`, 'pwd'],
  [`${CLASSES}MobileTwoFactorContract`, 'mfa'],
  [`${CLASSES}TimeSyncToken`, 'otp'],
  [`${CLASSES}SmartcardPKI`, 'sc'],
  ['http://schemas.microsoft.com/claims/multipleauthn', 'mfa'],
  ['https://refeds.org/profile/mfa', 'mfa'],
]);
