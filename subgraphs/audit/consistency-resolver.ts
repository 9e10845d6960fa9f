import { GraphQLSafeInt } from 'graphql-scalars';
import { Arg, Ctx, Directive, Field, FieldResolver, ObjectType, Resolver } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { findConsistency } from './consistency.ts';
import { AuditLog } from './model.ts';

/** Shows to somebody who kept an older head that the log has only grown since. */
@ObjectType({ description: 'Shows that a log of `to` entries begins with the log of `from` entries (RFC 6962).' })
export class ConsistencyProof {
  @Field(() => GraphQLSafeInt)
  epoch!: number;

  @Field(() => GraphQLSafeInt)
  from!: number;

  @Field(() => GraphQLSafeInt)
  to!: number;

  @Field(() => [String], { description: 'In the order of RFC 6962 section 2.1.2, in lower-case hex.' })
  hashes!: readonly string[];

  @Field(() => String, {
    nullable: true,
    description: 'The signed note over `to` entries; null where none was signed.',
  })
  checkpoint!: string | null;
}

/** Proofs between two heads of the audit log. */
@Resolver(() => AuditLog)
export class ConsistencyProofResolver {
  @FieldResolver(() => ConsistencyProof, {
    description: 'The proof that the log has only grown from one size to another, by default the newest checkpoint.',
  })
  @Directive('@cost(weight: 5)')
  @Directive('@permission(scope: "audit:read")')
  async consistencyProof(
    @Ctx() ctx: RequestContext,
    @Arg('from', () => GraphQLSafeInt) from: number,
    @Arg('to', () => GraphQLSafeInt, { nullable: true }) to?: number | null,
  ): Promise<ConsistencyProof> {
    if (from < 0 || (to ?? 0) < 0) fail('BAD_USER_INPUT', 'a negative size', { hint: 'A size is not negative.' });
    const answer = await findConsistency(ctx, { from, to: to ?? null, epoch: null });
    return { ...answer, hashes: answer.hashes.map((hash) => hash.toString('hex')) };
  }
}
