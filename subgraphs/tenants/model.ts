import { Directive, Field, ID, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { CREATED_AT, primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';
import type { TenantState, Tier } from '#schema/tenant-context.ts';
import type { Placement } from '#schema/tenant-store.ts';

/** The tiers by the names of the graph. */
export const TierEnum = {
  FREE: 'FREE',
  GROWTH: 'GROWTH',
  ENTERPRISE: 'ENTERPRISE',
  ENTERPRISE_PLUS: 'ENTERPRISE_PLUS',
} as const satisfies Record<Tier, Tier>;
registerEnumType(TierEnum, { name: 'Tier', description: "Service tiers, from the smallest to a silo of one's own." });

/** The states by the names of the graph. */
export const TenantStateEnum = {
  PROVISIONING: 'provisioning',
  TRIAL: 'trial',
  ACTIVE: 'active',
  PAST_DUE: 'past_due',
  READ_ONLY: 'read_only',
  SUSPENDED: 'suspended',
  CANCELLED: 'cancelled',
  SOFT_DELETED: 'soft_deleted',
  ERASING: 'erasing',
  ERASED: 'erased',
} as const satisfies Record<Uppercase<TenantState>, TenantState>;
registerEnumType(TenantStateEnum, { name: 'TenantState', description: "The states of a tenant's life." });

/** How tenants' rows lie, by the names of the graph. */
export const PlacementEnum = { POOL: 'pool', BRIDGE: 'bridge', SILO: 'silo' } as const satisfies Record<
  Uppercase<Placement>,
  Placement
>;
registerEnumType(PlacementEnum, {
  name: 'Placement',
  description: "How a tenant's rows lie: among those of others, in a schema of her own, or in a database of her own.",
});

/** A tenant, as her cell knows her. */
@ObjectType({ description: 'A customer of the platform: a wall around her users and data.' })
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "tenant:read")')
@Entity('tenants')
export class Tenant {
  @Field(() => ID)
  @PrimaryColumn({ ...primaryId('tnt'), insert: false, update: false })
  id!: string;

  @Field(() => String, { description: 'Her short name in addresses and commands; unique on the platform.' })
  @Column('text')
  slug!: string;

  @Field(() => String)
  @Column('text')
  name!: string;

  @Field(() => TierEnum)
  @Column('text')
  tier!: Tier;

  @Field(() => String, { description: 'Where her data lie; chosen at sign-up.' })
  @Column('text')
  region!: string;

  @Field(() => String, { description: 'The independent slice of the platform, within her region, that serves her.' })
  @Column('text')
  cell!: string;

  @Field(() => TenantStateEnum)
  @Column('text')
  state!: TenantState;

  @Column({ type: 'timestamptz', name: 'state_since' })
  stateSince!: Date;

  /** The step that led into the state; null for the first. */
  @Column({ type: 'text', name: 'state_step', nullable: true })
  stateStep!: string | null;

  @Column('integer')
  version!: number;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;
}

/** A tenant as the directory knows her: what routing needs, and nothing that is hers. */
@ObjectType('TenantPlace', {
  description: 'Where a tenant lives, as the directory knows it: it holds no name, which only her own cell has.',
})
export class TenantPlaceEntry {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  slug!: string;

  @Field(() => TierEnum)
  tier!: Tier;

  @Field(() => String)
  region!: string;

  @Field(() => String)
  cell!: string;

  @Field(() => PlacementEnum)
  placement!: Placement;

  @Field(() => TenantStateEnum)
  state!: TenantState;

  @Field(() => Date)
  createdAt!: Date;
}

/** Pages of the directory. */
export const TenantPlaceConnection = connectionOf('TenantPlace', TenantPlaceEntry);
