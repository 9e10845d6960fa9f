import { ID_ALONE, type PersonalTable } from '#kit/personal-tables.ts';

const SETTINGS = 'what the tenant has set up, and nobody in it';
const HASHES = 'hashes of what may not come twice, for minutes';
const OF_HER_SESSIONS = 'session_id in (select c.id from credentials c where c.user_id = person)';

/** The tables of identity, and what each of them holds of a person. */
export const personalTables: Readonly<Record<string, PersonalTable>> = {
  users: { about: 'id = person', end: 'deleted', store: 'identity.users' },
  groups: { about: null, because: 'names of groups' },
  group_members: { about: 'user_id = person', end: 'deleted', store: 'identity.groupMemberships' },
  roles: { about: null, because: 'names of roles' },
  user_roles: { about: 'user_id = person', end: 'deleted', store: 'identity.roleGrants' },
  group_roles: { about: null, because: 'which group has which role' },
  credentials: { about: 'user_id = person', end: 'deleted', store: 'identity.credentials' },
  sessions: { about: 'user_id = person', end: 'deleted', store: 'identity.sessions' },
  refresh_tokens: { about: OF_HER_SESSIONS, end: 'deleted', store: 'identity.sessions' },
  authorization_codes: { about: OF_HER_SESSIONS, end: 'deleted', store: 'identity.sessions' },
  identity_connections: { about: null, because: SETTINGS },
  domain_proofs: { about: null, because: SETTINGS },
  break_glass_users: { about: 'user_id = person', end: 'deleted', store: 'identity.breakGlass' },
  sign_in_flows: { about: null, because: 'sign-ins that nobody has come back from, for minutes' },
  identity_links: { about: 'user_id = person', end: 'deleted', store: 'identity.identityLinks' },
  used_assertions: { about: null, because: HASHES },
  scim_extensions: { about: null, because: SETTINGS },
  scim_connections: { about: null, because: SETTINGS },
  scim_requests: { about: 'resource_id = public_id', end: 'kept', because: ID_ALONE },
  sign_in_factors: { about: 'user_id = person', end: 'deleted', store: 'identity.signInFactors' },
  recovery_codes: { about: 'user_id = person', end: 'deleted', store: 'identity.recoveryCodes' },
  pending_sign_ins: { about: 'user_id = person', end: 'deleted', store: 'identity.pendingSignIns' },
  spent_challenges: { about: null, because: HASHES },
  sign_in_attempts: { about: 'user_id = person', end: 'deleted', store: 'identity.signInAttempts' },
  sign_in_policies: { about: null, because: SETTINGS },
  revocations: {
    about: 'subject_id = person',
    end: 'kept',
    store: 'identity.revocations',
    because: 'the proof of when her access has ended; her id alone',
  },
  revocation_acknowledgements: { about: null, because: 'words of gateways' },
  security_event_receivers: { about: null, because: SETTINGS },
  security_event_deliveries: {
    about: 'subject_id = person',
    end: 'kept',
    store: 'identity.securityEventDeliveries',
    because: 'receivers have to be told that she is gone; her id alone, for as long as deliveries are kept',
  },
};
