import type { TenantTransaction } from '#kit/database.ts';
import type { PersonalDataSet } from '#kit/personal-data.ts';
import { idOf } from '#schema/ids.ts';

type Query = Pick<TenantTransaction, 'query'>;
type PersonalRow = PersonalDataSet['rows'][number];

/** Returns what a person holds to sign in with, her recovery codes and her failed attempts; keys, seeds and hashes stay inside. */
export async function signInPersonalData(tx: Query, user: string | null): Promise<PersonalDataSet[]> {
  return [
    { store: 'identity.signInFactors', rows: await factorRows(tx, user) },
    { store: 'identity.recoveryCodes', rows: await recoveryRows(tx, user) },
    { store: 'identity.signInAttempts', rows: await attemptRows(tx, user) },
    { store: 'identity.pendingSignIns', rows: await pendingRows(tx, user) },
  ];
}

interface FactorRow {
  readonly id: string;
  readonly kind: string;
  readonly name: string;
  readonly transports: string[] | null;
  readonly backed_up: boolean | null;
  readonly created_at: Date;
  readonly confirmed_at: Date | null;
  readonly last_used_at: Date | null;
}

async function factorRows(tx: Query, user: string | null): Promise<PersonalRow[]> {
  const rows = await tx.query<FactorRow>(
    `select id, kind, name, transports, backed_up, created_at, confirmed_at, last_used_at
       from sign_in_factors where user_id = $1 order by id`,
    [user],
  );
  return rows.map((row) => ({
    id: idOf('fct', row.id),
    kind: row.kind,
    name: row.name,
    transports: row.transports,
    backedUp: row.backed_up,
    createdAt: row.created_at.toISOString(),
    confirmedAt: row.confirmed_at?.toISOString() ?? null,
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
  }));
}

async function recoveryRows(tx: Query, user: string | null): Promise<PersonalRow[]> {
  const rows = await tx.query<{ created_at: Date; used_at: Date | null }>(
    'select created_at, used_at from recovery_codes where user_id = $1 order by created_at, code_hash',
    [user],
  );
  return rows.map((row) => ({
    createdAt: row.created_at.toISOString(),
    usedAt: row.used_at?.toISOString() ?? null,
  }));
}

async function attemptRows(tx: Query, user: string | null): Promise<PersonalRow[]> {
  const rows = await tx.query<{ failures: number; last_failed_at: Date; locked_until: Date | null }>(
    'select failures, last_failed_at, locked_until from sign_in_attempts where user_id = $1',
    [user],
  );
  return rows.map((row) => ({
    failures: row.failures,
    lastFailedAt: row.last_failed_at.toISOString(),
    lockedUntil: row.locked_until?.toISOString() ?? null,
  }));
}

async function pendingRows(tx: Query, user: string | null): Promise<PersonalRow[]> {
  const rows = await tx.query<{ context: PersonalRow; expires_at: Date }>(
    'select context, expires_at from pending_sign_ins where user_id = $1 order by id',
    [user],
  );
  return rows.map((row) => ({ firstFactor: row.context, expiresAt: row.expires_at.toISOString() }));
}
