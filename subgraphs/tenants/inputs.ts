import { IsEmail, IsIn, IsOptional, IsString, Length, Matches, MaxLength } from 'class-validator';
import { Field, ID, InputType, ObjectType } from 'type-graphql';
import { TIERS, type TenantState, type Tier } from '#schema/tenant-context.ts';
import { PLACEMENTS, type Placement } from '#schema/tenant-store.ts';
import { LifeDaysInput } from './life-model.ts';
import { PlacementEnum, Tenant, TenantStateEnum, TierEnum } from './model.ts';

const SLUG = /^[a-z][a-z0-9-]{1,38}[a-z0-9]$/;

/** What a contract says that a tier does not. */
@InputType()
export class ContractInput {
  @Field(() => LifeDaysInput, { nullable: true, description: 'Days that differ from those of her tier.' })
  days?: LifeDaysInput | null;

  @Field(() => Boolean, {
    defaultValue: false,
    description: 'Whether she has agreed to pay after the trial, as in a contract that is signed.',
  })
  confirmed!: boolean;
}

@InputType()
export class CreateTenantInput {
  @Field(() => String, { description: '3 to 40 small letters, digits and hyphens, beginning with a letter.' })
  @Matches(SLUG, { message: 'slug takes 3 to 40 small letters, digits and hyphens, beginning with a letter' })
  slug!: string;

  @Field(() => String)
  @IsString()
  @Length(1, 200)
  name!: string;

  @Field(() => TierEnum)
  @IsIn(TIERS)
  tier!: Tier;

  @Field(() => String, { description: 'Where her data will lie; it cannot be changed by an update.' })
  @IsString()
  @MaxLength(100)
  region!: string;

  @Field(() => String, { description: 'The e-mail address and user name of her first administrator.' })
  @IsEmail()
  @MaxLength(320)
  adminEmail!: string;

  @Field(() => String)
  @IsString()
  @Length(1, 200)
  adminName!: string;

  @Field(() => PlacementEnum, { nullable: true, description: 'By default as the platform is set up for the tier.' })
  @IsOptional()
  @IsIn(PLACEMENTS)
  placement?: Placement | null;

  @Field(() => ContractInput, { nullable: true })
  @IsOptional()
  contract?: ContractInput | null;
}

@ObjectType()
export class CreateTenantPayload {
  @Field(() => Tenant)
  tenant!: Tenant;

  @Field(() => String, { description: 'Signs the first administrator in, once, within a day; shown this once.' })
  adminSignInUrl!: string;
}

@InputType()
export class ChangeTierInput {
  @Field(() => TierEnum)
  tier!: Tier;
}

@ObjectType()
export class ChangeTierPayload {
  @Field(() => Tenant)
  tenant!: Tenant;
}

@InputType()
export class ChangeTenantStateInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => TenantStateEnum)
  to!: TenantState;
}

@ObjectType()
export class ChangeTenantStatePayload {
  @Field(() => Tenant)
  tenant!: Tenant;
}
