import { Matches } from 'class-validator';
import { Field, Float, ID, InputType, Int, ObjectType } from 'type-graphql';
import type { BudgetLimits, OperationClass, Rate, SubjectLimits } from '#schema/budget-limits.ts';
import type { LimitsChange, SubjectChange } from '#schema/limits-change.ts';
import type { Tier } from '#schema/tenant-context.ts';
import { TierEnum } from './model.ts';

const CLIENT = /^[a-z][a-z0-9-]{0,62}$/;
const CLIENT_RULE = 'client takes 1 to 63 small letters, digits and hyphens, beginning with a letter';

@ObjectType({ description: 'A bucket: what a full one holds, and how fast it fills again.' })
export class BudgetRate implements Rate {
  @Field(() => Int)
  capacity!: number;

  @Field(() => Float)
  restorePerSecond!: number;
}

@ObjectType({ description: 'Cost points by the class of operation that spends them.' })
export class BudgetPoints implements Record<OperationClass, Rate> {
  @Field(() => BudgetRate)
  query!: Rate;

  @Field(() => BudgetRate)
  mutation!: Rate;

  @Field(() => BudgetRate)
  bulk!: Rate;
}

@ObjectType({ description: 'What one tenant, client or user may spend.' })
export class SubjectBudget implements SubjectLimits {
  @Field(() => BudgetPoints)
  points!: SubjectLimits['points'];

  @Field(() => BudgetRate, { description: 'Requests, whatever they cost.' })
  requests!: Rate;
}

@ObjectType({ description: 'What one client may spend where its tenant allows it less than the others.' })
export class ClientBudget {
  @Field(() => String)
  client!: string;

  @Field(() => SubjectBudget)
  budget!: SubjectLimits;
}

@ObjectType('BudgetLimits', { description: 'What bounds the requests of a tenant.' })
export class BudgetLimitsView implements BudgetLimits {
  @Field(() => Int, { description: 'Points that one operation may be estimated at.' })
  maxQueryCost!: number;

  @Field(() => Int, { description: 'Operations that run at once; more wait in line.' })
  concurrency!: number;

  @Field(() => SubjectBudget, { description: 'What the tenant may spend as a whole.' })
  tenant!: SubjectLimits;

  @Field(() => SubjectBudget, { description: 'What each client (API keys of one name) may spend of it.' })
  client!: SubjectLimits;

  @Field(() => SubjectBudget, { description: 'What each user may spend of it.' })
  user!: SubjectLimits;

  @Field(() => [ClientBudget], { description: 'Clients that the tenant allows less, by name.' })
  clients!: readonly ClientBudget[];
}

@InputType()
export class BudgetRateInput implements Rate {
  @Field(() => Int)
  capacity!: number;

  @Field(() => Float)
  restorePerSecond!: number;
}

@InputType()
export class BudgetPointsInput {
  @Field(() => BudgetRateInput, { nullable: true })
  query?: Rate | null;

  @Field(() => BudgetRateInput, { nullable: true })
  mutation?: Rate | null;

  @Field(() => BudgetRateInput, { nullable: true })
  bulk?: Rate | null;
}

@InputType()
export class SubjectBudgetInput {
  @Field(() => BudgetPointsInput, { nullable: true })
  points?: SubjectChange['points'] | null;

  @Field(() => BudgetRateInput, { nullable: true })
  requests?: Rate | null;
}

@InputType()
class LimitsInput {
  @Field(() => Int, { nullable: true })
  maxQueryCost?: number | null;

  @Field(() => Int, { nullable: true })
  concurrency?: number | null;

  @Field(() => SubjectBudgetInput, { nullable: true })
  tenant?: LimitsChange['tenant'] | null;

  @Field(() => SubjectBudgetInput, { nullable: true })
  client?: LimitsChange['client'] | null;

  @Field(() => SubjectBudgetInput, { nullable: true })
  user?: LimitsChange['user'] | null;
}

@InputType({
  description: 'What is left out is as the tier has it, so that an input without a number ends every exception.',
})
export class SetTenantLimitsInput extends LimitsInput {
  @Field(() => ID)
  tenantId!: string;
}

@InputType({ description: 'What is left out stays as it is.' })
export class SetTierLimitsInput extends LimitsInput {
  @Field(() => TierEnum)
  tier!: Tier;
}

@InputType({ description: 'What is left out is as each client of the tenant has it.' })
export class SetClientLimitsInput extends SubjectBudgetInput {
  @Field(() => String)
  @Matches(CLIENT, { message: CLIENT_RULE })
  client!: string;
}

@InputType()
export class RemoveClientLimitsInput {
  @Field(() => String)
  @Matches(CLIENT, { message: CLIENT_RULE })
  client!: string;
}

@ObjectType()
export class BudgetLimitsPayload {
  @Field(() => BudgetLimitsView, { description: 'What holds now.' })
  budgetLimits!: BudgetLimitsView;
}

@ObjectType()
export class SetTierLimitsPayload {
  @Field(() => TierEnum)
  tier!: Tier;

  @Field(() => BudgetLimitsView, { description: 'What holds now for the tenants of the tier that have no exception.' })
  budgetLimits!: BudgetLimitsView;
}
