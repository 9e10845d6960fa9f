import type { ActionRows } from './action.ts';
import { choice, count, id, list, object, optional, text, time, type Fields } from './field.ts';

const scopes = list(text(64), 100);

/** What the events of a credential hold; `user` is whose it is, and missing for one that is nobody's own. */
const credential: Fields = { scopes, user: optional(id('usr')) };

const replaced: Fields = { replaces: id('key', 'scm'), old_expires_at: time };

/** How requests of a SCIM client were read, where they were not to the letter of the RFCs. */
const rewrites = optional(list(text(64), 50));

const ended: Fields = { sessions: count, api_keys: count };

/** People, groups, roles and what they sign requests with. */
export const accessActions: ActionRows = {
  'user.create': {
    version: 1,
    about: 'A person was made: by hand, by her first single sign-on, or with the tenant.',
    resource: ['user'],
    resourceName: 'resource',
    context: { source: choice('graphql', 'sso', 'provisioning', 'demo'), connection: optional(id('con')) },
  },
  'user.provision': {
    version: 1,
    about: 'A SCIM client made a person.',
    resource: ['user'],
    resourceName: 'resource',
    context: { active: { type: 'flag' }, rewrites },
  },
  'user.update': {
    version: 1,
    about: 'Attributes of a person were changed; the event names them and not what they hold.',
    resource: ['user'],
    resourceName: 'resource',
    context: { source: choice('graphql', 'scim'), attributes: list(text(300), 200), rewrites },
  },
  'user.deactivate': {
    version: 1,
    about: 'All access of a person was ended.',
    resource: ['user'],
    resourceName: 'resource',
    context: { ...ended, rewrites },
  },
  'user.reactivate': {
    version: 1,
    about: 'A person was let in again.',
    resource: ['user'],
    resourceName: 'resource',
    context: { rewrites },
  },
  'user.delete': {
    version: 1,
    about: 'A SCIM client deleted a person; her access ended with it.',
    resource: ['user'],
    resourceName: 'resource',
    context: { ...ended, rewrites },
  },
  'group.provision': {
    version: 1,
    about: 'A SCIM client made a group.',
    resource: ['group'],
    resourceName: 'plain',
    context: { members_added: count, rewrites },
  },
  'group.update': {
    version: 1,
    about: 'A SCIM client changed attributes or members of a group.',
    resource: ['group'],
    resourceName: 'plain',
    context: { attributes: list(text(300), 200), members_added: count, members_removed: count, rewrites },
  },
  'group.delete': {
    version: 1,
    about: 'A SCIM client deleted a group.',
    resource: ['group'],
    resourceName: 'plain',
    context: { rewrites },
  },
  'group.map_role': {
    version: 1,
    about: 'The members of a group were given a role.',
    resource: ['role'],
    resourceName: 'plain',
    context: { group: id('grp') },
  },
  'group.unmap_role': {
    version: 1,
    about: 'The role that the members of a group had by it was taken from them.',
    resource: ['role'],
    resourceName: 'plain',
    context: { group: id('grp') },
  },
  'role.create': {
    version: 1,
    about: 'A role was made.',
    resource: ['role'],
    resourceName: 'plain',
    context: { scopes },
  },
  'role.update': {
    version: 1,
    about: 'Name or rights of a role were changed; `before` is what it was.',
    resource: ['role'],
    resourceName: 'plain',
    context: { scopes, before: object({ name: text(200), scopes }) },
  },
  'role.delete': {
    version: 1,
    about: 'A role was deleted with every grant of it.',
    resource: ['role'],
    resourceName: 'plain',
    context: { scopes },
  },
  'role.grant': {
    version: 1,
    about: 'A person was given a role.',
    resource: ['role'],
    resourceName: 'plain',
    context: { user: id('usr'), source: choice('graphql', 'sso', 'provisioning', 'demo') },
  },
  'role.revoke': {
    version: 1,
    about: 'A role was taken from a person.',
    resource: ['role'],
    resourceName: 'plain',
    context: { user: id('usr') },
  },
  'api_key.create': {
    version: 1,
    about: 'An API key was issued.',
    resource: ['api_key'],
    resourceName: 'context.user',
    context: credential,
  },
  'api_key.rotate': {
    version: 1,
    about: 'An API key was issued in place of another one, which works on until `old_expires_at` at the latest.',
    resource: ['api_key'],
    resourceName: 'context.user',
    context: { ...credential, ...replaced },
  },
  'api_key.set_networks': {
    version: 1,
    about: 'It was changed from which networks an API key may be used; none means from everywhere.',
    resource: ['api_key'],
    resourceName: 'context.user',
    context: { ...credential, allowed_networks: list(text(64), 100) },
  },
  'scim_token.create': {
    version: 1,
    about: 'A token of a SCIM connection was issued.',
    resource: ['scim_token'],
    resourceName: 'plain',
    context: { scopes, connection: optional(id('con')) },
  },
  'scim_token.rotate': {
    version: 1,
    about: 'A SCIM token was issued in place of another one, which works on until `old_expires_at`.',
    resource: ['scim_token'],
    resourceName: 'plain',
    context: { scopes, connection: id('con'), ...replaced },
  },
  'sign_in_link.create': {
    version: 1,
    about: 'A one-time sign-in link was made, by hand or for mailing.',
    resource: ['sign_in_link'],
    resourceName: 'plain',
    context: { scopes: optional(scopes), user: id('usr') },
  },
  'credential.revoke': {
    version: 1,
    about: 'An API key, SCIM token, sign-in link or session was revoked.',
    resource: ['api_key', 'scim_token', 'sign_in_link', 'session'],
    resourceName: 'context.user',
    context: credential,
  },
  'credential.refuse': {
    version: 1,
    about: 'A credential was used from a network that it is not for; at most one event in 10 seconds.',
    resource: ['api_key', 'scim_token', 'session'],
    resourceName: 'plain',
    context: { reason: choice('network') },
  },
  'access.revocation_enforced': {
    version: 1,
    about: 'The end of an access holds at every gateway; `unconfirmed` is how many did not say so themselves.',
    resource: ['user', 'api_key', 'scim_token', 'tenant'],
    resourceName: 'plain',
    context: {
      reason: choice('deactivated', 'deleted', 'signed_out', 'revoked', 'closed'),
      revoked_at: time,
      latency_ms: count,
      sequence: { ...count, nullable: true },
      gateways: count,
      unconfirmed: count,
    },
  },
};
