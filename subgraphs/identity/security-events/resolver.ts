import { Arg, Args, Ctx, Directive, FieldResolver, ID, Int, Mutation, Query, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf } from '#schema/ids.ts';
import {
  CreateSecurityEventReceiverInput,
  DeleteSecurityEventReceiverPayload,
  DeliveriesArgs,
  ReplaySecurityEventDeliveryInput,
  SecurityEventDeliveryPayload,
  SecurityEventReceiverInput,
  SecurityEventReceiverPayload,
  UpdateSecurityEventReceiverInput,
} from './inputs.ts';
import { SecurityEventDelivery, SecurityEventDeliveryConnection, SecurityEventReceiver } from './model.ts';
import { deliveriesOf, replayDelivery, testReceiver } from './deliveries.ts';
import { createReceiver, deleteReceiver, findReceiver, listReceivers, updateReceiver } from './service.ts';

const READ = '@permission(scope: "identity:read")';
const WRITE = '@permission(scope: "identity:write")';
const PAGED = '@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)';

/** Receivers of security events. */
@Resolver(() => SecurityEventReceiver)
export class SecurityEventReceiverResolver {
  @Query(() => [SecurityEventReceiver], { description: 'The receivers of security events, oldest first; at most 20.' })
  @Directive('@listSize(assumedSize: 20)')
  @Directive(READ)
  async securityEventReceivers(@Ctx() ctx: RequestContext) {
    return listReceivers(ctx);
  }

  @Query(() => SecurityEventReceiver, {
    nullable: true,
    description: 'One of them, or null where there is none of that id.',
  })
  @Directive(READ)
  async securityEventReceiver(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findReceiver(ctx, id);
  }

  @FieldResolver(() => Boolean, { description: 'Whether an Authorization header is sent; nobody can read it.' })
  hasAuthorization(@Root() receiver: SecurityEventReceiver) {
    return receiver.sealedAuthorization !== null;
  }

  @FieldResolver(() => SecurityEventDeliveryConnection, { description: 'What it is owed and was sent, newest first.' })
  @Directive(PAGED)
  @Directive(READ)
  async deliveries(
    @Root() receiver: SecurityEventReceiver,
    @Ctx() ctx: RequestContext,
    @Args(() => DeliveriesArgs) args: DeliveriesArgs,
  ) {
    return deliveriesOf(ctx, receiver, args);
  }

  @Mutation(() => SecurityEventReceiverPayload, {
    description: 'Registers a receiver; one that is sent what resources hold takes the right to see users as well.',
  })
  @Directive('@audit(action: "security_event_receiver.create")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive(WRITE)
  async createSecurityEventReceiver(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateSecurityEventReceiverInput) input: CreateSecurityEventReceiverInput,
  ) {
    return { receiver: await createReceiver(ctx, input) };
  }

  @Mutation(() => SecurityEventReceiverPayload, { description: 'Changes a receiver, or stops and resumes sending.' })
  @Directive('@audit(action: "security_event_receiver.update")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive(WRITE)
  async updateSecurityEventReceiver(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => UpdateSecurityEventReceiverInput) input: UpdateSecurityEventReceiverInput,
  ) {
    return { receiver: await updateReceiver(ctx, input) };
  }

  @Mutation(() => DeleteSecurityEventReceiverPayload, { description: 'Deletes a receiver with all that it is owed.' })
  @Directive('@audit(action: "security_event_receiver.delete")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async deleteSecurityEventReceiver(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SecurityEventReceiverInput) { receiverId }: SecurityEventReceiverInput,
  ) {
    return { deletedReceiverId: await deleteReceiver(ctx, receiverId) };
  }

  @Mutation(() => SecurityEventDeliveryPayload, {
    description: 'Sends a receiver an event that is about nobody, the way every other one goes.',
  })
  @Directive('@audit(action: "security_event_receiver.test")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async testSecurityEventReceiver(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SecurityEventReceiverInput) { receiverId }: SecurityEventReceiverInput,
  ) {
    return { delivery: await testReceiver(ctx, receiverId) };
  }

  @Mutation(() => SecurityEventDeliveryPayload, { description: 'Sends again what was given up.' })
  @Directive('@audit(action: "security_event_delivery.replay")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async replaySecurityEventDelivery(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ReplaySecurityEventDeliveryInput) { deliveryId }: ReplaySecurityEventDeliveryInput,
  ) {
    return { delivery: await replayDelivery(ctx, deliveryId) };
  }
}

/** What a receiver is owed. */
@Resolver(() => SecurityEventDelivery)
export class SecurityEventDeliveryResolver {
  @FieldResolver(() => ID, { nullable: true, description: 'The person or group that it is about; null for a test.' })
  subjectId(@Root() { subjectType, subjectUuid }: SecurityEventDelivery) {
    if (subjectType === 'test') return null;
    return idOf(subjectType === 'user' ? 'usr' : 'grp', subjectUuid);
  }

  @FieldResolver(() => Int, {
    nullable: true,
    description: 'Milliseconds from the change to the word of the receiver.',
  })
  latencyMs(@Root() { occurredAt, deliveredAt }: SecurityEventDelivery) {
    return deliveredAt === null ? null : Math.min(2 ** 31 - 1, deliveredAt.getTime() - occurredAt.getTime());
  }
}
