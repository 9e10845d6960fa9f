/** What a receiver is for. */
export enum ReceiverKind {
  /** An application that ends its own sessions: OpenID Connect Back-Channel Logout 1.0. */
  BACKCHANNEL_LOGOUT = 'backchannel_logout',
  /** A receiver of shared signals: CAEP 1.0 over RFC 8935. */
  CAEP = 'caep',
  /** A receiver of what changes in the directory: RFC 9967 over RFC 8935. */
  SCIM_EVENTS = 'scim_events',
}

/** The event of a logout token. */
export const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
/** The event that shows a receiver that a stream works (SSF 1.0 section 8.1.4). */
export const VERIFICATION_EVENT = 'https://schemas.openid.net/secevent/ssf/event-type/verification';

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';
const SCIM = 'urn:ietf:params:scim:event:';

/** A session, or all sessions of a person, have ended. */
export const SESSION_REVOKED = `${CAEP}session-revoked`;
/** A passkey or an authenticator application has come or gone. */
export const CREDENTIAL_CHANGE = `${CAEP}credential-change`;
/** The roles of a person have changed. */
export const TOKEN_CLAIMS_CHANGE = `${CAEP}token-claims-change`;

/** The types of event that a receiver of each kind may ask for. */
export const EVENTS_OF: Readonly<Record<ReceiverKind, readonly string[]>> = {
  [ReceiverKind.BACKCHANNEL_LOGOUT]: [LOGOUT_EVENT],
  [ReceiverKind.CAEP]: [SESSION_REVOKED, CREDENTIAL_CHANGE, TOKEN_CLAIMS_CHANGE],
  [ReceiverKind.SCIM_EVENTS]: [
    `${SCIM}feed:add`,
    `${SCIM}feed:remove`,
    `${SCIM}prov:create:notice`,
    `${SCIM}prov:create:full`,
    `${SCIM}prov:patch:notice`,
    `${SCIM}prov:patch:full`,
    `${SCIM}prov:put:notice`,
    `${SCIM}prov:put:full`,
    `${SCIM}prov:delete`,
    `${SCIM}prov:activate`,
    `${SCIM}prov:deactivate`,
  ],
};

/** What a receiver is sent that names no events: all, and of the directory ids and names of attributes alone. */
export function defaultEvents(kind: ReceiverKind): readonly string[] {
  return EVENTS_OF[kind].filter((event) => !event.endsWith(':full'));
}

/** A type of event of the directory, taken apart; null for any other. */
export function scimEventOf(
  event: string,
): { readonly change: string; readonly detail: 'notice' | 'full' | null } | null {
  const [, change, detail = null] =
    /^urn:ietf:params:scim:event:(?:prov|feed):(\w+)(?::(notice|full))?$/.exec(event) ?? [];
  return change === undefined ? null : { change, detail: detail === 'notice' || detail === 'full' ? detail : null };
}
