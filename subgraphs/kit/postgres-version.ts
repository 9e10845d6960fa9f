import { fail } from '#schema/errors.ts';
import type { Databases } from './database.ts';

/**
 * The first minor release of every supported major version in which row-level security holds. Before them any role that
 * may INSERT, UPDATE and SELECT reads every tenant's rows by iterating INSERT ... ON CONFLICT DO UPDATE
 * (CVE-2026-120154), and its sibling CVE-2026-16237 lets it write them.
 */
const SAFE_MINORS: Readonly<Record<number, number>> = { 15: 20, 16: 16, 17: 12, 18: 7 };

const OLDEST_MAJOR = Math.min(...Object.keys(SAFE_MINORS).map(Number));

/** What a server version means for the isolation of tenants. */
export interface VersionAssessment {
  readonly ok: boolean;
  /** The oldest safe release to which this server can move without a dump, e.g. `18.7`. */
  readonly minimum: string;
  /** Says which version it is, and what is wrong with it where something is. */
  readonly sentence: string;
}

/**
 * Judges a server by its `server_version_num` (180004 is 18.4). Major versions newer than the newest known were first
 * released after the fix and are safe.
 */
export function assessVersion(serverVersionNum: number): VersionAssessment {
  const major = Math.floor(serverVersionNum / 10_000);
  const minor = serverVersionNum % 10_000;
  if (!Number.isSafeInteger(serverVersionNum) || major < OLDEST_MAJOR) {
    return {
      ok: false,
      minimum: `${OLDEST_MAJOR}.${SAFE_MINORS[OLDEST_MAJOR]}`,
      sentence: `PostgreSQL older than ${OLDEST_MAJOR} is not supported (server_version_num ${serverVersionNum}).`,
    };
  }
  const safeMinor = SAFE_MINORS[major] ?? 0;
  const minimum = `${major}.${safeMinor}`;
  if (minor >= safeMinor)
    return { ok: true, minimum, sentence: `PostgreSQL ${major}.${minor} keeps row-level security.` };
  return {
    ok: false,
    minimum,
    sentence:
      `PostgreSQL ${major}.${minor} lets one tenant read another's rows past row-level security ` +
      `(CVE-2026-120154); ${minimum} or newer is needed.`,
  };
}

/**
 * Checks the server behind a connection: SERVICE_UNAVAILABLE for an unsafe one in production; elsewhere the sentence of
 * warning, or null where the server is safe.
 */
export async function requireSafeVersion(
  client: { query(sql: string): Promise<{ rows: readonly { version?: unknown }[] }> },
  { profile }: { profile: 'embedded' | 'production' },
): Promise<string | null> {
  const { rows } = await client.query(`select current_setting('server_version_num')::int as version`);
  const { ok, sentence } = assessVersion(Number(rows[0]?.version));
  if (ok) return null;
  return profile === 'production' ? fail('SERVICE_UNAVAILABLE', sentence) : sentence;
}

/** Checks the servers of all stores like `requireSafeVersion`; returns the first warning, or null where all are safe. */
export async function requireSafeDatabases(
  databases: Databases,
  profile: 'embedded' | 'production',
): Promise<string | null> {
  const servers = [
    databases.directory,
    ...databases.cells.flatMap(({ name }) => [databases.auditPool(name), tenantServer(databases, name)]),
  ];
  const warnings = await Promise.all(servers.map((server) => requireSafeVersion(server, { profile })));
  return warnings.find((warning) => warning !== null) ?? null;
}

function tenantServer(databases: Databases, cell: string) {
  return {
    query: async (sql: string) => ({ rows: await databases.tenantSource(cell).query<{ version?: unknown }[]>(sql) }),
  };
}
