import { newestFirst, pageOf, pageRequest, type Connection } from '#kit/connection.ts';
import { inTenant, inTenantOnce } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOf, uuidOrNull, uuidv7, type Id } from '#schema/ids.ts';
import { LOGOUT_EVENT, ReceiverKind, VERIFICATION_EVENT } from './event-types.ts';
import type { DeliveriesArgs } from './inputs.ts';
import { DeliveryState, ReceiverState, SecurityEventDelivery, type SecurityEventReceiver } from './model.ts';
import { auditReceiver, requireReceiver } from './service.ts';

/** Returns a page of what a receiver is owed and was sent, newest first. */
export async function deliveriesOf(
  ctx: RequestContext,
  receiver: SecurityEventReceiver,
  { state = null, ...args }: DeliveriesArgs,
): Promise<Connection<SecurityEventDelivery>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) => {
    const query = newestFirst(manager.createQueryBuilder(SecurityEventDelivery, 'row'), request, 'dlv').andWhere(
      'row.receiver_id = :receiver',
      { receiver: uuidOf('rcv', receiver.id) },
    );
    return (state === null ? query : query.andWhere('row.state = :state', { state })).getMany();
  });
  return pageOf(rows, request);
}

/** Owes a receiver an event about nobody; a disabled one is CONFLICT. */
export async function testReceiver(ctx: RequestContext, id: string): Promise<SecurityEventDelivery> {
  return inTenant(ctx, async (tx) => {
    const receiver = await requireReceiver(tx, id);
    if (receiver.state !== ReceiverState.ACTIVE)
      fail('CONFLICT', 'the receiver is disabled', { hint: 'A disabled receiver is sent nothing.' });
    const delivery = mintId('dlv');
    const event = receiver.kind === ReceiverKind.BACKCHANNEL_LOGOUT ? LOGOUT_EVENT : VERIFICATION_EVENT;
    await tx.query(
      `insert into security_event_deliveries (id, receiver_id, events, subject_type, subject_id)
       values ($1, $2, $3, 'test', $4)`,
      [uuidOf('dlv', delivery), uuidOf('rcv', receiver.id), [event], uuidv7()],
    );
    await auditReceiver(tx, ctx, { action: 'security_event_receiver.test', receiver, context: { delivery } });
    return tx.manager.findOneByOrFail(SecurityEventDelivery, { id: delivery });
  });
}

/** Owes a receiver anew what was given up; anything else is CONFLICT, and what is not there NOT_FOUND. */
export async function replayDelivery(ctx: RequestContext, id: string): Promise<SecurityEventDelivery> {
  const uuid = uuidOrNull('dlv', id);
  return inTenant(ctx, async (tx) => {
    const known = uuid === null ? null : { id: id as Id<'dlv'> };
    const delivery = known === null ? null : await tx.manager.findOneBy(SecurityEventDelivery, known);
    if (delivery === null) return fail('NOT_FOUND', 'no such delivery in this tenant');
    const replayed = await tx.query(
      `update security_event_deliveries
          set state = 'pending', attempts = 0, queued_at = $2, next_attempt_at = '-infinity', leased_until = null, ended_at = null
        where id = $1 and state = $3 returning id`,
      [uuid, ctx.clock(), DeliveryState.DEAD],
    );
    if (replayed.length === 0)
      fail('CONFLICT', 'the delivery was not given up', { hint: 'Only what was given up can be sent again.' });
    await tx.query(`select pg_notify('tenon_deliveries', '')`);
    const receiver = await requireReceiver(tx, delivery.receiverId);
    await auditReceiver(tx, ctx, { action: 'security_event_delivery.replay', receiver, context: { delivery: id } });
    return tx.manager.findOneByOrFail(SecurityEventDelivery, { id: delivery.id });
  });
}
