import type { TenantTransaction } from './database.ts';

/**
 * Tells whether a legal hold keeps what there is of the tenant. Until the transaction ends no hold is placed, so
 * whoever destroys in it what a hold would keep has done so before the hold, or not at all.
 */
export async function isHeld(tx: Pick<TenantTransaction, 'query'>): Promise<boolean> {
  await tx.query('select id from tenants for share');
  const [row] = await tx.query<{ held: boolean }>(
    'select exists (select from legal_holds where released_at is null) as held',
  );
  return row?.held === true;
}

/** Waits for whoever goes by there being no hold, and keeps others from beginning to until the transaction ends. */
export async function lockHolds(tx: Pick<TenantTransaction, 'query'>): Promise<void> {
  await tx.query('select id from tenants for no key update');
}
