import { GraphQLJSONObject } from 'graphql-scalars';
import { Arg, Directive, Field, Int, ObjectType, Query, Resolver } from 'type-graphql';
import { actionSchemas, type ActionVersion } from '#schema/audit-actions/index.ts';
import { entrySchema, type JsonSchema } from '#schema/audit-actions/json-schema.ts';

@ObjectType({ description: 'What the audit log can hold of one action, in one version of its schema.' })
class AuditAction {
  @Field(() => String, { description: 'Noun, dot, verb.' })
  action!: string;

  @Field(() => Int, { description: 'What an entry names as `action_version`.' })
  version!: number;

  @Field(() => String, { description: 'What has happened when this is in the log.' })
  about!: string;

  @Field(() => GraphQLJSONObject, { description: 'JSON Schema (2020-12) of an entry with this action and version.' })
  schema!: JsonSchema;
}

/** The catalogue of audit events. */
@Resolver(() => AuditAction)
export class AuditActionResolver {
  @Query(() => [AuditAction], { description: 'The catalogue of audit events: every action in every version.' })
  @Directive('@cost(weight: 50)')
  @Directive('@permission(scope: "audit:read")')
  auditActions(
    @Arg('action', () => String, { nullable: true, description: 'The versions of one action.' }) action?: string | null,
  ): AuditAction[] {
    return action == null ? ACTIONS : ACTIONS.filter((each) => each.action === action);
  }
}

const ACTIONS = actionSchemas().map(definitionOf);

function definitionOf({ action, schema }: ActionVersion): AuditAction {
  const { version, about } = schema;
  return { action, version, about, schema: entrySchema([{ action, schema }]) };
}
