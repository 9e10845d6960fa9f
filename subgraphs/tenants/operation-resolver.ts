import { Arg, Args, Ctx, Directive, FieldResolver, Mutation, Query, Resolver, Root } from 'type-graphql';
import { authorize } from '#kit/authorize.ts';
import type { RequestContext } from '#kit/request-context.ts';
import {
  ApproveOperationsInput,
  ApproveOperationsPayload,
  RegisteredOperationArgs,
  RegisterOperationsInput,
  RegisterOperationsPayload,
  RevokeOperationsInput,
  RevokeOperationsPayload,
  ScheduleRevocationInput,
  ScheduleRevocationPayload,
} from './operation-inputs.ts';
import { OperationState, RegisteredOperation, RegisteredOperationConnection, stateAt } from './operation-model.ts';
import { registerOperations } from './operation-registration.ts';
import { approveOperations, listOperations, revokeOperations, scheduleRevocation } from './operations.ts';

/** The operations that the keys of the tenant's clients may run. */
@Resolver(() => RegisteredOperation)
export class OperationResolver {
  @Query(() => RegisteredOperationConnection, { description: "Operations of the tenant's clients, newest first." })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  async registeredOperations(
    @Ctx() ctx: RequestContext,
    @Args(() => RegisteredOperationArgs) args: RegisteredOperationArgs,
  ) {
    authorize(ctx, 'tenant:read');
    return listOperations(ctx, args);
  }

  @FieldResolver(() => OperationState)
  state(@Root() operation: RegisteredOperation, @Ctx() ctx: RequestContext): OperationState {
    return stateAt(operation, ctx.clock());
  }

  @Mutation(() => RegisterOperationsPayload, {
    description: 'Registers the operations of a manifest for a client, all or none; they run once they are approved.',
  })
  @Directive('@audit(action: "operation.register")')
  @Directive('@cost(weight: 50)')
  async registerOperations(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RegisterOperationsInput) input: RegisterOperationsInput,
  ) {
    authorize(ctx, 'operations:write');
    return registerOperations(ctx, input);
  }

  @Mutation(() => ApproveOperationsPayload, {
    description: 'Lets registered operations run. The API key that registered an operation cannot approve it.',
  })
  @Directive('@audit(action: "operation.approve")')
  @Directive('@control(ids: ["CC6.1", "CC8.1"])')
  @Directive('@cost(weight: 10)')
  async approveOperations(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ApproveOperationsInput) input: ApproveOperationsInput,
  ) {
    authorize(ctx, 'operations:approve');
    return { operations: await approveOperations(ctx, input) };
  }

  @Mutation(() => RevokeOperationsPayload, { description: 'Ends registered operations at once.' })
  @Directive('@audit(action: "operation.revoke")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  async revokeOperations(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RevokeOperationsInput) input: RevokeOperationsInput,
  ) {
    authorize(ctx, 'operations:approve');
    return { operations: await revokeOperations(ctx, input) };
  }

  @Mutation(() => ScheduleRevocationPayload, { description: 'Ends registered operations at a time to come.' })
  @Directive('@audit(action: "operation.schedule_revocation")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  async scheduleRevocation(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ScheduleRevocationInput) input: ScheduleRevocationInput,
  ) {
    authorize(ctx, 'operations:approve');
    return { operations: await scheduleRevocation(ctx, input) };
  }
}
