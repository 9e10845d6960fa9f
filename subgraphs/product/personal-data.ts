import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { DataSubject, ErasedStore, PersonalDataSet } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf, uuidOf } from '#schema/ids.ts';

/** Returns what the product holds of a person: the documents she wrote, and what was shared with her address. */
export async function collectPersonalData(ctx: RequestContext, subject: DataSubject): Promise<PersonalDataSet[]> {
  return inTenant(ctx, async (tx) => {
    const documents = await tx.query<{ id: string; name: string; created_at: Date }>(
      'select id, name, created_at from documents where author_id = $1 order by created_at, id',
      [uuidOf('usr', subject.userId)],
    );
    const shares = await tx.query<{
      id: string;
      document_id: string;
      recipient: string;
      permission: string;
      created_at: Date;
    }>(
      `select id, document_id, recipient, permission, created_at
         from document_shares where lower(recipient) = lower($1) order by created_at, id`,
      [subject.email],
    );
    return [
      {
        store: 'product.documents',
        rows: documents.map((row) => ({
          id: idOf('doc', row.id),
          name: row.name,
          createdAt: row.created_at.toISOString(),
        })),
      },
      {
        store: 'product.documentShares',
        rows: shares.map((row) => ({
          id: idOf('shr', row.id),
          document: idOf('doc', row.document_id),
          recipient: row.recipient,
          permission: row.permission,
          createdAt: row.created_at.toISOString(),
        })),
      },
    ];
  });
}

/** Removes what was shared with a person's address; documents are her tenant's and stay, under an id without a name. */
export async function erasePersonalData(
  _ctx: RequestContext,
  tx: TenantTransaction,
  { userId }: DataSubject,
): Promise<readonly ErasedStore[]> {
  await tx.query('select tenon.erase_document_shares($1)', [uuidOf('usr', userId)]);
  return [];
}
