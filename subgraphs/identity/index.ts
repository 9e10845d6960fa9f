import { authorize } from '#kit/authorize.ts';
import { defineSubgraph, type Reference } from '#kit/define-subgraph.ts';
import { CredentialResolver, RoleResolver } from './access/resolver.ts';
import { Credential, Group, Role, User } from './model.ts';
import { collectPersonalData } from './personal-data.ts';
import { GroupResolver, UserResolver } from './resolver.ts';
import { scimRoutes } from './scim/routes.ts';
import { findGroups, findUsers } from './service.ts';
import { SessionResolver } from './sessions/resolver.ts';
import { signInRoutes } from './sign-in/routes.ts';

/** Users, groups, roles and credentials; SCIM provisioning and sign-in. */
export const identity = defineSubgraph({
  name: 'identity',
  resolvers: [UserResolver, GroupResolver, RoleResolver, CredentialResolver, SessionResolver],
  entities: [User, Group, Role, Credential],
  references: { User: visible(findUsers), Group: visible(findGroups) },
  routes: [...scimRoutes, ...signInRoutes],
  personalData: { collect: collectPersonalData },
});

/** Another part of the graph leads here by an id; whom it leads to is shown to those alone who may see people. */
function visible(find: Reference): Reference {
  return async (ctx, ids) => {
    authorize(ctx, 'users:read');
    return find(ctx, ids);
  };
}
