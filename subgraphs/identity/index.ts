import { defineSubgraph } from '#kit/define-subgraph.ts';
import { CredentialResolver, RoleResolver } from './access/resolver.ts';
import { EmailDomainResolver } from './connections/domain-resolver.ts';
import { EmailDomain, IdentityConnection } from './connections/model.ts';
import { IdentityConnectionResolver } from './connections/resolver.ts';
import { Credential, Group, Role, User } from './model.ts';
import { oidcRoutes } from './oidc/routes.ts';
import { erasePerson } from './erasure.ts';
import { collectPersonalData } from './personal-data.ts';
import { personalTables } from './personal-tables.ts';
import { GroupRoleResolver, ProvisionedUserResolver, ScimConnectionResolver } from './provisioning/resolver.ts';
import { GroupResolver, UserResolver } from './resolver.ts';
import { SamlConnectionResolver } from './saml/resolver.ts';
import { samlRoutes } from './saml/routes.ts';
import { Revocation } from './revocation/revocation-model.ts';
import { RevocationResolver } from './revocation/revocation-resolver.ts';
import { SecurityEventDelivery, SecurityEventReceiver } from './security-events/model.ts';
import { startDeliveries } from './security-events/delivery-loop.ts';
import { SecurityEventDeliveryResolver, SecurityEventReceiverResolver } from './security-events/resolver.ts';
import { securityEventRoutes } from './security-events/routes.ts';
import { ScimExtensionResolver } from './scim/extension-resolver.ts';
import { scimRoutes } from './scim/routes.ts';
import { findGroups, findUsers } from './service.ts';
import { SessionResolver, ViewerSessionResolver } from './sessions/resolver.ts';
import { sessionRoutes } from './sessions/routes.ts';
import { SignInFactor } from './sign-in/model.ts';
import { FactorResolver, SignInAdministrationResolver, ViewerFactorResolver } from './sign-in/resolver.ts';
import { signInRoutes } from './sign-in/routes.ts';
import { startUpkeep } from './upkeep/upkeep-loop.ts';

/** Users, groups, roles and credentials; SCIM provisioning and sign-in. */
export const identity = defineSubgraph({
  name: 'identity',
  resolvers: [
    ScimConnectionResolver,
    GroupRoleResolver,
    ProvisionedUserResolver,
    ScimExtensionResolver,
    UserResolver,
    GroupResolver,
    RoleResolver,
    SamlConnectionResolver,
    CredentialResolver,
    SessionResolver,
    ViewerSessionResolver,
    FactorResolver,
    ViewerFactorResolver,
    SignInAdministrationResolver,
    IdentityConnectionResolver,
    EmailDomainResolver,
    RevocationResolver,
    SecurityEventReceiverResolver,
    SecurityEventDeliveryResolver,
  ],
  entities: [
    User,
    Group,
    Role,
    Credential,
    SignInFactor,
    IdentityConnection,
    EmailDomain,
    Revocation,
    SecurityEventReceiver,
    SecurityEventDelivery,
  ],
  references: { User: findUsers, Group: findGroups },
  routes: [...scimRoutes, ...signInRoutes, ...samlRoutes, ...sessionRoutes, ...oidcRoutes, ...securityEventRoutes],
  personalData: { tables: personalTables, collect: collectPersonalData, erase: erasePerson },
  work: (platform) => {
    const works = [startDeliveries(platform), startUpkeep(platform)];
    return { stop: async () => void (await Promise.all(works.map((work) => work.stop()))) };
  },
});
