import { ArgsType, Field, ID, InputType, ObjectType } from 'type-graphql';
import { ArrayMaxSize, ArrayMinSize, Length, Matches } from 'class-validator';
import { ConnectionArgs } from '#kit/connection.ts';
import { ReceiverKind } from './event-types.ts';
import { DeliveryState, ReceiverState, SecurityEventDelivery, SecurityEventReceiver } from './model.ts';

const OPTIONAL = { nullable: true } as const;
const HEADER_VALUE = /^[\x20-\x7e]{1,4096}$/;

@InputType()
export class CreateSecurityEventReceiverInput {
  @Field(() => ReceiverKind)
  kind!: ReceiverKind;

  @Field(() => String)
  @Length(1, 200)
  name!: string;

  @Field(() => String, { description: 'An https address.' })
  @Length(1, 2048)
  endpoint!: string;

  @Field(() => String, {
    description: 'The `aud` of the tokens: the client id of an application, or what the receiver names.',
  })
  @Length(1, 1024)
  audience!: string;

  @Field(() => [String], {
    ...OPTIONAL,
    description: 'By default all of the kind, and of the directory notices alone.',
  })
  @ArrayMinSize(1)
  @ArrayMaxSize(20)
  events?: string[] | null;

  @Field(() => String, {
    ...OPTIONAL,
    description: 'The value of the Authorization header that it asks for; it can be replaced and never be read again.',
  })
  @Matches(HEADER_VALUE)
  authorization?: string | null;
}

@InputType({ description: 'What is left out stays as it is.' })
export class UpdateSecurityEventReceiverInput {
  @Field(() => ID)
  receiverId!: string;

  @Field(() => String, OPTIONAL)
  @Length(1, 200)
  name?: string | null;

  @Field(() => String, { ...OPTIONAL, description: 'At another host the authorization has to be given anew.' })
  @Length(1, 2048)
  endpoint?: string | null;

  @Field(() => String, OPTIONAL)
  @Length(1, 1024)
  audience?: string | null;

  @Field(() => [String], OPTIONAL)
  @ArrayMinSize(1)
  @ArrayMaxSize(20)
  events?: string[] | null;

  @Field(() => String, { ...OPTIONAL, description: 'Null for none from now on.' })
  @Matches(HEADER_VALUE)
  authorization?: string | null;

  @Field(() => ReceiverState, OPTIONAL)
  state?: ReceiverState | null;
}

@InputType()
export class SecurityEventReceiverInput {
  @Field(() => ID)
  receiverId!: string;
}

@InputType()
export class ReplaySecurityEventDeliveryInput {
  @Field(() => ID)
  deliveryId!: string;
}

@ArgsType()
export class DeliveriesArgs extends ConnectionArgs {
  @Field(() => DeliveryState, { ...OPTIONAL, description: 'Only those that have come so far.' })
  state?: DeliveryState | null;
}

@ObjectType()
export class SecurityEventReceiverPayload {
  @Field(() => SecurityEventReceiver)
  receiver!: SecurityEventReceiver;
}

@ObjectType()
export class DeleteSecurityEventReceiverPayload {
  @Field(() => ID)
  deletedReceiverId!: string;
}

@ObjectType()
export class SecurityEventDeliveryPayload {
  @Field(() => SecurityEventDelivery)
  delivery!: SecurityEventDelivery;
}
