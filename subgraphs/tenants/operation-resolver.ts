import { Arg, Args, Ctx, Directive, FieldResolver, Mutation, Query, Resolver, Root } from 'type-graphql';
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
  @Directive('@permission(scope: "tenant:read")')
  async registeredOperations(
    @Ctx() ctx: RequestContext,
    @Args(() => RegisteredOperationArgs) args: RegisteredOperationArgs,
  ) {
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
  @Directive('@permission(scope: "operations:write")')
  async registerOperations(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RegisterOperationsInput) input: RegisterOperationsInput,
  ) {
    return registerOperations(ctx, input);
  }

  @Mutation(() => ApproveOperationsPayload, {
    description: 'Lets registered operations run. The API key that registered an operation cannot approve it.',
  })
  @Directive('@audit(action: "operation.approve")')
  @Directive('@control(ids: ["CC6.1", "CC8.1"])')
  @Directive('@cost(weight: 10)')
  @Directive('@permission(scope: "operations:approve")')
  async approveOperations(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ApproveOperationsInput) input: ApproveOperationsInput,
  ) {
    return { operations: await approveOperations(ctx, input) };
  }

  @Mutation(() => RevokeOperationsPayload, { description: 'Ends registered operations at once.' })
  @Directive('@audit(action: "operation.revoke")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  @Directive('@permission(scope: "operations:approve")')
  async revokeOperations(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RevokeOperationsInput) input: RevokeOperationsInput,
  ) {
    return { operations: await revokeOperations(ctx, input) };
  }

  @Mutation(() => ScheduleRevocationPayload, { description: 'Ends registered operations at a time to come.' })
  @Directive('@audit(action: "operation.schedule_revocation")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  @Directive('@permission(scope: "operations:approve")')
  async scheduleRevocation(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ScheduleRevocationInput) input: ScheduleRevocationInput,
  ) {
    return { operations: await scheduleRevocation(ctx, input) };
  }
}
