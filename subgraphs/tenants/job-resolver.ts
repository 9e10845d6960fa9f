import { Arg, Args, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { Job, JobArgs, JobConnection, JobError, JobInput, JobPayload, JobProgress } from './job-model.ts';
import { cancelJob, findJob, listJobs, retryJob } from './jobs.ts';

/** What is done for the tenant beside requests. */
@Resolver(() => Job)
export class JobResolver {
  @Query(() => JobConnection, { description: 'The jobs of the tenant, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "jobs:read")')
  async jobs(@Ctx() ctx: RequestContext, @Args(() => JobArgs) args: JobArgs) {
    return listJobs(ctx, args);
  }

  @Query(() => Job, { nullable: true, description: 'One job of the tenant.' })
  @Directive('@permission(scope: "jobs:read")')
  async job(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findJob(ctx, id);
  }

  @FieldResolver(() => JobProgress)
  progress(@Root() { progressDone: done, progressTotal: total }: Job): JobProgress {
    return { done, total };
  }

  @FieldResolver(() => JobError, { nullable: true })
  error(@Root() { errorCode: code, errorText }: Job): JobError | null {
    return code === null ? null : { code, message: errorText ?? '' };
  }

  @Mutation(() => JobPayload, { description: 'Asks once more for a job that failed.' })
  @Directive('@audit(action: "job.retry")')
  @Directive('@permission(scope: "jobs:write")')
  async retryJob(@Ctx() ctx: RequestContext, @Arg('input', () => JobInput) { id }: JobInput) {
    return { job: await retryJob(ctx, id) };
  }

  @Mutation(() => JobPayload, { description: 'Calls a job off; one that runs is told to stop.' })
  @Directive('@audit(action: "job.cancel")')
  @Directive('@permission(scope: "jobs:write")')
  async cancelJob(@Ctx() ctx: RequestContext, @Arg('input', () => JobInput) { id }: JobInput) {
    return { job: await cancelJob(ctx, id) };
  }
}
