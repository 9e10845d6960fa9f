import { GraphQLJSONObject, GraphQLSafeInt } from 'graphql-scalars';
import { Directive, Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { connectionOf } from '#kit/connection.ts';
import type { AuditActor, AuditOutcome } from '#schema/audit-event.ts';
import type { JsonValue } from '#schema/canonical-json.ts';

/** The outcomes by the names of the graph. */
export const AuditOutcomeEnum = {
  SUCCESS: 'success',
  DENIED: 'denied',
  FAILURE: 'failure',
} as const satisfies Record<Uppercase<AuditOutcome>, AuditOutcome>;
registerEnumType(AuditOutcomeEnum, {
  name: 'AuditOutcome',
  description: 'How it ended: done, refused by a rule, or broken off by a fault.',
});

/** The kinds of actor by the names of the graph. */
export const AuditActorTypeEnum = {
  USER: 'user',
  API_KEY: 'api_key',
  SCIM: 'scim',
  SUPPORT: 'support',
  SYSTEM: 'system',
  ANONYMOUS: 'anonymous',
} as const satisfies Record<Uppercase<AuditActor['type']>, AuditActor['type']>;
registerEnumType(AuditActorTypeEnum, { name: 'AuditActorType', description: 'The kinds of actor.' });

/** Whether a proof can be had yet. */
export type ProofStatus = 'pending' | 'sealed';

/** The proof states by the names of the graph. */
export const ProofStatusEnum = { PENDING: 'pending', SEALED: 'sealed' } as const satisfies Record<string, ProofStatus>;
registerEnumType(ProofStatusEnum, {
  name: 'ProofStatus',
  description: 'Whether a signed checkpoint covers the entry yet.',
});

/** A user of the identity subgraph, known here by her id alone. */
@ObjectType('User')
@Directive('@key(fields: "id", resolvable: false)')
export class UserReference {
  @Field(() => ID)
  id!: string;
}

/** Who did it. */
@ObjectType('AuditActor', { description: 'Who did it.' })
export class AuditEventActor {
  @Field(() => AuditActorTypeEnum)
  type!: AuditActor['type'];

  @Field(() => String, { nullable: true, description: 'Null for an anonymous actor alone.' })
  id!: string | null;

  @Field(() => String, { nullable: true })
  @Directive(
    '@personalData(category: "network", purpose: "accountability", retention: "as long as the audit log is kept")',
  )
  ip!: string | null;

  @Field(() => String, { nullable: true, description: 'The user agent.' })
  @Directive(
    '@personalData(category: "network", purpose: "accountability", retention: "as long as the audit log is kept")',
  )
  ua!: string | null;

  @Field(() => UserReference, { nullable: true, description: 'The person behind an actor of type USER.' })
  user!: UserReference | null;
}

/** What it was done to. */
@ObjectType('AuditResource', { description: 'What it was done to.' })
export class AuditEventResource {
  @Field(() => String)
  type!: string;

  @Field(() => String)
  id!: string;

  @Field(() => String, { nullable: true })
  name!: string | null;
}

/** An entry of the tenant's audit log. */
@ObjectType({ description: 'One thing that happened in the tenant, in its place in the audit log.' })
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "audit:read")')
@Directive('@control(ids: ["CC7.2", "CC7.3"])')
export class AuditEvent {
  @Field(() => ID)
  id!: string;

  /** Which of the tenant's logs; `seq` counts within it. */
  epoch!: number;

  @Field(() => GraphQLSafeInt, { description: 'Its place in the log, without gaps from 0: the index of the leaf.' })
  seq!: number;

  @Field(() => Date)
  ts!: Date;

  @Field(() => String, { description: 'Noun, dot, verb.' })
  action!: string;

  @Field(() => Int, {
    description: "The version of the action's schema that the event was checked against when it was written.",
  })
  actionVersion!: number;

  @Field(() => AuditOutcomeEnum)
  outcome!: AuditOutcome;

  @Field(() => AuditEventActor)
  actor!: AuditEventActor;

  @Field(() => AuditEventResource)
  resource!: AuditEventResource;

  @Field(() => GraphQLJSONObject)
  @Directive(
    '@personalData(category: "activity", purpose: "accountability", retention: "as long as the audit log is kept")',
  )
  context!: Readonly<Record<string, JsonValue>>;

  @Field(() => [String], {
    description: 'Where values stood that nobody can read any more, such as `actor.ip`: their person was erased.',
  })
  erased!: readonly string[];

  @Field(() => String, { nullable: true })
  sessionId!: string | null;

  @Field(() => String, { nullable: true })
  requestId!: string | null;

  @Field(() => String, { description: 'The very bytes that were hashed (RFC 8785).' })
  @Directive(
    '@personalData(category: "activity", purpose: "accountability", retention: "as long as the audit log is kept")',
  )
  entry!: string;

  @Field(() => String, { description: 'SHA-256 of a zero byte and the entry, in lower-case hex (RFC 6962).' })
  leafHash!: string;
}

/** Shows to somebody who trusts nobody that an entry is in the log. */
@ObjectType({ description: 'Shows that an entry is in the log that the signed checkpoint speaks of (RFC 6962).' })
export class InclusionProof {
  /** The event's id, by which a request's proofs are batched. */
  id!: string;

  @Field(() => ProofStatusEnum)
  status!: ProofStatus;

  @Field(() => GraphQLSafeInt, { description: 'The index of the leaf.' })
  index!: number;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'The number of leaves that the checkpoint covers.' })
  treeSize!: number | null;

  @Field(() => [String], { description: 'The audit path, nearest sibling first, in lower-case hex.' })
  hashes!: readonly string[];

  @Field(() => String, { nullable: true, description: 'The signed note.' })
  checkpoint!: string | null;

  @Field(() => String, { nullable: true, description: 'All of this and the entry in one file (C2SP tlog-proof).' })
  tlogProof!: string | null;
}

/** The head of the tenant's log. */
@ObjectType({ description: 'How far the audit log has come, and how far it is sealed into the archive.' })
export class AuditLog {
  @Field(() => GraphQLSafeInt)
  size!: number;

  @Field(() => GraphQLSafeInt)
  sealedSize!: number;

  @Field(() => String, { description: 'The root of the tree over all entries, sealed or not, in lower-case hex.' })
  rootHash!: string;

  @Field(() => String, { nullable: true, description: 'The newest signed note; null before the first seal.' })
  checkpoint!: string | null;

  @Field(() => String, {
    nullable: true,
    description: 'What keeps the archive from taking entries, until it does again.',
  })
  alarm!: string | null;
}

/** Pages of the log. */
export const AuditEventConnection = connectionOf('AuditEvent', AuditEvent);
