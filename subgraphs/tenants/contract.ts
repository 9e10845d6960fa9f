import type { TenantTransaction } from '#kit/database.ts';
import { isHeld } from '#kit/legal-hold.ts';
import { fail } from '#schema/errors.ts';
import { changedDays, readDays, type LifeDays } from '#schema/life-days.ts';
import type { TenantState } from '#schema/tenant-context.ts';
import type { LifeFacts } from './lifecycle.ts';

/** How a tenant came to be one, what she agreed to, and what she owes. */
export interface Contract {
  readonly source: 'self_service' | 'sales';
  readonly trialEndsAt: Date | null;
  readonly confirmedAt: Date | null;
  readonly announcedAt: Date | null;
  readonly unpaidSince: Date | null;
  readonly erasedAt: Date | null;
  readonly days: Partial<LifeDays>;
}

/** What a new tenant's contract says. */
export interface ContractTerms {
  readonly source: Contract['source'];
  /** Days that differ from those of her tier, such as a longer trial. */
  readonly days?: Partial<LifeDays>;
  /** Who agreed to pay, where somebody did already. */
  readonly confirmedBy?: string | null;
}

type Statement = Pick<TenantTransaction, 'query'>;

const DAY_MS = 24 * 3_600_000;

/** Writes the contract of a tenant who is being made; her trial begins now. */
export async function insertContract(
  tx: Statement,
  { terms, state, days, now }: { terms: ContractTerms; state: TenantState; days: LifeDays; now: Date },
): Promise<void> {
  const own = terms.days ?? {};
  const trialEndsAt = new Date(now.getTime() + changedDays(days, own).trial * DAY_MS);
  const confirmedBy = terms.confirmedBy ?? (state === 'trial' ? null : 'platform');
  await tx.query(
    `insert into tenant_contracts (source, trial_ends_at, confirmed_at, confirmed_by, days, updated_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [
      terms.source,
      state === 'trial' ? trialEndsAt : null,
      confirmedBy === null ? null : now,
      confirmedBy,
      JSON.stringify(own),
      now,
    ],
  );
}

/** Returns the contract of the transaction's tenant. */
export async function readContract(tx: Statement): Promise<Contract> {
  const [row] = await tx.query<Contract>(
    `select source, trial_ends_at as "trialEndsAt", confirmed_at as "confirmedAt", announced_at as "announcedAt",
            unpaid_since as "unpaidSince", erased_at as "erasedAt", days from tenant_contracts`,
  );
  return row === undefined ? fail('NOT_FOUND', 'the tenant has no contract') : { ...row, days: readDays(row.days) };
}

/** Returns what the steps of her life depend on. While the transaction lasts no legal hold is placed. */
export async function readFacts(
  tx: Statement,
  lastStep: string | null,
): Promise<{ readonly facts: LifeFacts; readonly contract: Contract }> {
  const contract = await readContract(tx);
  const facts = {
    held: await isHeld(tx),
    paymentOpen: contract.unpaidSince !== null,
    confirmed: contract.confirmedAt !== null,
    announcedAt: contract.announcedAt,
    trialEndsAt: contract.trialEndsAt,
    lastStep,
    erasedAt: contract.erasedAt,
  };
  return { facts, contract };
}
