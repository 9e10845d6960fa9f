import { GraphQLSafeInt } from 'graphql-scalars';
import { Arg, Args, Ctx, Directive, FieldResolver, Mutation, Query, Resolver, Root } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import {
  AuditStreamInput,
  AuditStreamPayload,
  CreateAuditStreamInput,
  CreateAuditStreamPayload,
  DeleteAuditStreamPayload,
  UpdateAuditStreamInput,
} from './stream-inputs.ts';
import { AuditStream, AuditStreamConnection, AuditStreamSettings } from './stream-model.ts';
import {
  createStream,
  deleteStream,
  lagOf,
  listStreams,
  pauseStream,
  resumeStream,
  settingsOf,
  testStream,
  updateStream,
} from './streams.ts';

const READ = '@permission(scope: "audit:read")';
const WRITE = '@permission(scope: "audit:write")';
const CONTROL = '@control(ids: ["CC7.2"])';

/** Receivers to which the log is sent. */
@Resolver(() => AuditStream)
export class AuditStreamResolver {
  @Query(() => AuditStreamConnection, { description: 'The streams of the audit log, newest first; at most 10.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive(READ)
  async auditStreams(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listStreams(ctx, args);
  }

  @FieldResolver(() => AuditStreamSettings)
  settings(@Root() stream: AuditStream) {
    return settingsOf(stream);
  }

  @FieldResolver(() => Boolean, { description: 'Whether it has a secret; nobody can read it.' })
  hasSecret(@Root() stream: AuditStream) {
    return stream.sealedSecret !== null;
  }

  @FieldResolver(() => GraphQLSafeInt, {
    description: 'Entries of the log that it has not passed yet, those included that its filter leaves out.',
  })
  async lag(@Root() stream: AuditStream, @Ctx() ctx: RequestContext) {
    return lagOf(ctx, stream);
  }

  @Mutation(() => CreateAuditStreamPayload, { description: 'Sets up a stream of the audit log to a receiver.' })
  @Directive('@audit(action: "audit_stream.create")')
  @Directive(CONTROL)
  @Directive(WRITE)
  async createAuditStream(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateAuditStreamInput) input: CreateAuditStreamInput,
  ) {
    return createStream(ctx, input);
  }

  @Mutation(() => AuditStreamPayload, { description: 'Changes a stream; it is tried again at once.' })
  @Directive('@audit(action: "audit_stream.update")')
  @Directive(CONTROL)
  @Directive(WRITE)
  async updateAuditStream(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => UpdateAuditStreamInput) input: UpdateAuditStreamInput,
  ) {
    return { stream: await updateStream(ctx, input) };
  }

  @Mutation(() => AuditStreamPayload, { description: 'Pauses a stream; nothing is lost meanwhile.' })
  @Directive('@audit(action: "audit_stream.pause")')
  @Directive(CONTROL)
  @Directive(WRITE)
  async pauseAuditStream(@Ctx() ctx: RequestContext, @Arg('input', () => AuditStreamInput) { id }: AuditStreamInput) {
    return { stream: await pauseStream(ctx, id) };
  }

  @Mutation(() => AuditStreamPayload, { description: 'Lets a stream go on where it stopped.' })
  @Directive('@audit(action: "audit_stream.resume")')
  @Directive(CONTROL)
  @Directive(WRITE)
  async resumeAuditStream(@Ctx() ctx: RequestContext, @Arg('input', () => AuditStreamInput) { id }: AuditStreamInput) {
    return { stream: await resumeStream(ctx, id) };
  }

  @Mutation(() => AuditStreamPayload, {
    description:
      'Has the receiver sent an event that is marked as a test; `testedAt` and `testFailure` tell how it went.',
  })
  @Directive('@audit(action: "audit_stream.test")')
  @Directive(CONTROL)
  @Directive(WRITE)
  async testAuditStream(@Ctx() ctx: RequestContext, @Arg('input', () => AuditStreamInput) { id }: AuditStreamInput) {
    return { stream: await testStream(ctx, id) };
  }

  @Mutation(() => DeleteAuditStreamPayload, { description: 'Deletes a stream.' })
  @Directive('@audit(action: "audit_stream.delete")')
  @Directive(CONTROL)
  @Directive(WRITE)
  async deleteAuditStream(@Ctx() ctx: RequestContext, @Arg('input', () => AuditStreamInput) { id }: AuditStreamInput) {
    return { deletedId: await deleteStream(ctx, id) };
  }
}
