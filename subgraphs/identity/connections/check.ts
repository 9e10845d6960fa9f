import type { RequestContext } from '#kit/request-context.ts';
import { checkOidcConnection, type Finding } from '../oidc/check.ts';
import { checkSamlConnection } from '../saml/check.ts';
import { ConnectionKind, type IdentityConnection } from './model.ts';

export type { Finding } from '../oidc/check.ts';

/** Looks at a connection as its kind needs it, before people sign in over it. */
export async function checkConnection(ctx: RequestContext, connection: IdentityConnection): Promise<Finding[]> {
  return CHECKS[connection.kind](ctx, connection);
}

type Check = (ctx: RequestContext, connection: IdentityConnection) => Promise<Finding[]>;

const CHECKS: Readonly<Record<ConnectionKind, Check>> = {
  [ConnectionKind.OIDC]: checkOidcConnection,
  [ConnectionKind.SAML]: checkSamlConnection,
};
