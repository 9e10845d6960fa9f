import pg from 'pg';
import { sqlState } from '#kit/database.ts';

/** A tenant that exists in one transaction alone. */
export interface MadeUpTenant {
  readonly uuid: string;
  /** Proves to the databases that she asks. */
  readonly token: string;
  /** Proves the same to the databases of another cell. */
  readonly tokenElsewhere: string;
  /** Id of the one row that she has in the table `victims`; nobody's is of no row. */
  readonly row: string;
}

/** What a statement came to. */
export interface Outcome {
  /** SQLSTATE, or `00000`. */
  readonly code: string;
  readonly count: number;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** What PostgreSQL says of a refusal, with its detail; empty otherwise. */
  readonly text: string;
}

/**
 * Where attacks happen: one transaction, which is never committed, with the rights of one role. Both tenants have one
 * row in the table `victims`, where the role may write it; `nobody` has nothing anywhere.
 */
export interface Ground {
  readonly a: MadeUpTenant;
  readonly b: MadeUpTenant;
  readonly nobody: MadeUpTenant;
  /** A table of the store into which the role may write; null for a role that may into none. */
  readonly victims: Victims | null;
  /** What the role can read in schema app, by its full name; quoted. */
  readonly readable: readonly string[];
  /** Relations of those that the role reads for all tenants without a context. */
  readonly openWithoutContext: ReadonlySet<string>;
  /** Speaks for a tenant from now on, or for none. */
  readonly as: (tenant: MadeUpTenant | null) => Promise<void>;
  /** Says a statement; where it fails, everything is as it was before it. */
  readonly say: (sql: string, values?: readonly unknown[]) => Promise<Outcome>;
}

/** A table to fight over, and what a row of it needs. */
export interface Victims {
  readonly table: string;
  readonly columns: string;
  /** The values of `columns`, where `$1` is the id. */
  readonly values: string;
  /** A column that may be changed; null where the role may change none. */
  readonly changed: string | null;
}

/** One way from one tenant to another that must lead nowhere. */
export interface Attack {
  /** Number in docs/isolation.md. */
  readonly vector: number;
  /** What holds where it leads nowhere. */
  readonly sentence: string;
  /** Returns what leaked or went through, or null. */
  readonly run: (ground: Ground) => Promise<string | null>;
}

/** The code of a statement that passed. */
export const PASSED = '00000';
/** insufficient_privilege, also what a row policy answers. */
export const REFUSED = '42501';

/** Returns the rows of a question to the catalog, which is no attack itself: where it fails, nothing is known. */
export async function ask({ say }: Pick<Ground, 'say'>, sql: string): Promise<Outcome['rows']> {
  const { code, rows, text } = await say(sql);
  if (code !== PASSED) throw new Error(`the catalog could not be asked: ${code} ${text}`);
  return rows;
}

/** Says a statement inside a savepoint, as `Ground.say` promises. */
export async function sayOver(client: pg.ClientBase, sql: string, values: readonly unknown[] = []): Promise<Outcome> {
  await client.query('savepoint attack');
  try {
    const { rowCount, rows } = await client.query<Record<string, unknown>>(sql, [...values]);
    await client.query('release savepoint attack');
    return { code: PASSED, count: rowCount ?? 0, rows, text: '' };
  } catch (error) {
    await client.query('rollback to savepoint attack');
    const code = sqlState(error);
    if (code === null || !(error instanceof pg.DatabaseError)) throw error;
    return { code, count: 0, rows: [], text: [error.message, error.detail, error.hint].join(' ') };
  }
}
