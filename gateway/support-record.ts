import { recordAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { PreparedOperation } from './prepared-operation.ts';

/** The log takes no longer names. */
const NAME_LENGTH = 200;

/**
 * Records in the tenant's log what an operator whom she let in asks for, before it runs: what cannot be recorded does not
 * run. It is told by the fields of the root, for an operation may call itself what it likes.
 */
export async function recordSupport(
  ctx: RequestContext,
  { kind, name, rootFields }: Pick<PreparedOperation, 'kind' | 'name' | 'rootFields'>,
): Promise<void> {
  await recordAudit(ctx, {
    action: 'support.act',
    resource: { type: 'operation', id: name?.slice(0, NAME_LENGTH) ?? kind, name: null },
    context: { kind, fields: [...rootFields], personal_data: ctx.tenant.support?.personal === true },
  });
}
