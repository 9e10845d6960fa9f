import type { TenantTransaction } from '#kit/database.ts';

/** Says that what this transaction does to a resource is its replacement, for receivers to be told so (RFC 9967 section 2.4.3). */
export async function noteReplacement(tx: Pick<TenantTransaction, 'query'>): Promise<void> {
  await tx.query(`select set_config('app.scim_method', 'PUT', true)`);
}
