import { IsIn, IsNotEmpty, IsOptional, MaxLength } from 'class-validator';
import { GraphQLSafeInt } from 'graphql-scalars';
import { ArgsType, Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { ConnectionArgs, connectionOf } from '#kit/connection.ts';
import type { MovePhase } from '#schema/tenant-move.ts';
import { PLACEMENTS, type Placement } from '#schema/tenant-store.ts';
import { PlacementEnum } from './model.ts';

/** The phases of a move by the names of the graph. */
export const MovePhaseEnum = {
  REQUESTED: 'requested',
  COPYING: 'copying',
  FOLLOWING: 'following',
  SWITCHING: 'switching',
  REMOVING: 'removing',
  DONE: 'done',
  CANCELLING: 'cancelling',
  CANCELLED: 'cancelled',
} as const satisfies Record<Uppercase<MovePhase>, MovePhase>;
registerEnumType(MovePhaseEnum, {
  name: 'TenantMovePhase',
  description: 'How far a move is.',
  valuesConfig: {
    FOLLOWING: { description: 'The copy is there, and follows what she changes; it can still be called off.' },
    SWITCHING: { description: 'She is sent to her new cell.' },
    REMOVING: { description: 'She lives in her new cell; what is left behind is removed.' },
  },
});

/** How many rows of a move are copied. */
@ObjectType({ description: 'How many rows are copied.' })
export class TenantMoveProgress {
  @Field(() => GraphQLSafeInt)
  done!: number;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'Null while nobody has counted them.' })
  total!: number | null;
}

/** A move of a tenant to another store, as the directory remembers it. */
@ObjectType({ description: 'A move of a tenant to another cell or store, while she works.' })
export class TenantMove {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  tenantId!: string;

  @Field(() => String)
  fromCell!: string;

  @Field(() => String, { description: 'The store of that cell: `pool`, or one of her own.' })
  fromStore!: string;

  @Field(() => String)
  toCell!: string;

  @Field(() => String)
  toStore!: string;

  @Field(() => MovePhaseEnum)
  phase!: MovePhase;

  @Field(() => String)
  reason!: string;

  @Field(() => ID, { description: 'Public id of whoever asked for it.' })
  requestedBy!: string;

  @Field(() => Date)
  requestedAt!: Date;

  @Field(() => TenantMoveProgress)
  progress!: TenantMoveProgress;

  @Field(() => Int, { description: 'How often she was held still to be sent over.' })
  holds!: number;

  @Field(() => String, { nullable: true, description: 'What kept it from going on when it was tried last.' })
  obstacle!: string | null;

  @Field(() => Int, { nullable: true, description: 'Milliseconds for which she was held in the end.' })
  heldMs!: number | null;

  @Field(() => Boolean, { description: 'Whether it was called off and has not ended yet.' })
  isCancelling!: boolean;

  @Field(() => Date, { nullable: true, description: 'When she began to live in her new cell.' })
  switchedAt!: Date | null;

  @Field(() => Date, { nullable: true })
  endedAt!: Date | null;

  @Field(() => String, {
    nullable: true,
    description: 'What was moved, table by table, signed (DSSE); once nothing is left behind.',
  })
  certificate!: string | null;
}

/** Pages of moves. */
export const TenantMoveConnection = connectionOf('TenantMove', TenantMove);

/** Which moves. */
@ArgsType()
export class TenantMoveArgs extends ConnectionArgs {
  @Field(() => ID, { nullable: true, description: 'Moves of this tenant alone.' })
  tenantId?: string | null;
}

/** Who is to move where, and why. */
@InputType()
export class StartTenantMoveInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => String, { nullable: true, description: 'The cell that she is to live in; by default where she does.' })
  @IsOptional()
  @MaxLength(64)
  cell?: string | null;

  @Field(() => PlacementEnum, {
    nullable: true,
    description: 'How her rows are to lie there: POOL, the default, or SILO.',
  })
  @IsOptional()
  @IsIn(PLACEMENTS)
  placement?: Placement | null;

  @Field(() => String)
  @IsNotEmpty()
  @MaxLength(500)
  reason!: string;
}

/** Which move is to be called off. */
@InputType()
export class CancelTenantMoveInput {
  @Field(() => ID)
  id!: string;
}

/** The move. */
@ObjectType()
export class TenantMovePayload {
  @Field(() => TenantMove)
  move!: TenantMove;
}
