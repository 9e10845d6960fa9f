import { Field, ID, InputType, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { CREATED_AT, idColumn, primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';

/** Who ended it. */
export enum OfferSide {
  OWNER = 'owner',
  RECIPIENT = 'recipient',
}
registerEnumType(OfferSide, { name: 'OfferSide', description: 'One side of an offer.' });

/** An offer of a document to another tenant, as its owner knows it. */
@ObjectType({ description: 'A document that is offered to another tenant, to be read until it expires or is ended.' })
@Entity('document_offers')
export class DocumentOffer {
  @Field(() => ID)
  @PrimaryColumn(primaryId('ofr'))
  id!: string;

  @Field(() => ID)
  @Column(idColumn('doc', { name: 'document_id' }))
  documentId!: string;

  @Field(() => ID, { description: 'The tenant that may take it; whether there is one of that id, nobody is told.' })
  @Column(idColumn('tnt', { name: 'recipient_id' }))
  recipientId!: string;

  @Field(() => Date)
  @Column('timestamptz', { name: 'expires_at' })
  expiresAt!: Date;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'accepted_at', nullable: true })
  acceptedAt!: Date | null;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'ended_at', nullable: true })
  endedAt!: Date | null;

  @Field(() => OfferSide, { nullable: true })
  @Column('text', { name: 'ended_by', nullable: true })
  endedBy!: OfferSide | null;
}

/** A document of another tenant, as the one who took the offer knows it. */
@ObjectType({ description: 'An offer of another tenant that was taken.' })
@Entity('received_documents')
export class ReceivedDocument {
  @Field(() => ID, { description: 'That of the offer.' })
  @PrimaryColumn(primaryId('ofr'))
  id!: string;

  @Field(() => ID, { description: 'The tenant whose document it is.' })
  @Column(idColumn('tnt', { name: 'owner_id' }))
  ownerId!: string;

  @Field(() => Date)
  @Column('timestamptz', { name: 'accepted_at' })
  acceptedAt!: Date;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'ended_at', nullable: true })
  endedAt!: Date | null;

  @Field(() => OfferSide, { nullable: true })
  @Column('text', { name: 'ended_by', nullable: true })
  endedBy!: OfferSide | null;
}

/** What an offer lets its recipient see. */
@ObjectType({ description: 'What an offer lets its recipient see of a document; it stays where its owner lives.' })
export class OfferedDocument {
  @Field(() => ID, { description: 'That of the offer.' })
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String)
  body!: string;
}

/** Pages of offers. */
export const DocumentOfferConnection = connectionOf('DocumentOffer', DocumentOffer);
/** Pages of taken offers. */
export const ReceivedDocumentConnection = connectionOf('ReceivedDocument', ReceivedDocument);

@InputType()
export class OfferDocumentInput {
  @Field(() => ID)
  documentId!: string;

  @Field(() => ID, { description: 'The id of the tenant that may take it, as she has told it.' })
  recipientId!: string;

  @Field(() => Date, { description: 'Until then it can be read; at most a year from now.' })
  expiresAt!: Date;
}

@ObjectType()
export class OfferDocumentPayload {
  @Field(() => DocumentOffer)
  offer!: DocumentOffer;
}

@InputType()
export class WithdrawDocumentInput {
  @Field(() => ID)
  offerId!: string;
}

@InputType()
export class AcceptDocumentInput {
  @Field(() => ID)
  offerId!: string;

  @Field(() => ID, { description: 'The tenant that offers it.' })
  ownerId!: string;
}

@ObjectType()
export class ReceivedDocumentPayload {
  @Field(() => ReceivedDocument)
  received!: ReceivedDocument;
}

@InputType()
export class ReturnDocumentInput {
  @Field(() => ID)
  offerId!: string;
}
