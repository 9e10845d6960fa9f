import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { recordAudit } from '#kit/outbox.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import type { Id } from '#schema/ids.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { noteVerifier } from '#schema/signed-note.ts';
import { finishTenant, subgraphs } from '#subgraphs';
import { createErasureTurn, type ErasureTurnOptions } from '../../compliance/privacy/turn.ts';
import type { StoreName } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import type { EvidenceHouse } from './evidence-fixture.ts';

/** What nobody may find of an erased person. */
export const ADDRESS = '203.0.113.77';
export const BROWSER = 'Unmistakable-Browser/7.7';

/** The key whose signatures count in tests. */
export const VERIFIER = noteVerifier(TEST_SIGNING_KEY.name, TEST_SIGNING_KEY.publicKey);

/** Returns a request of a person, from her address and with her browser. */
export async function requestOf(
  house: EvidenceHouse,
  { tenant, person, ip = ADDRESS, ua = BROWSER }: { tenant: Id<'tnt'>; person: Id<'usr'>; ip?: string; ua?: string },
): Promise<RequestContext> {
  const { platform, tenant: context } = await house.contextOf(tenant);
  return requestContext(platform, {
    ...context,
    actor: { type: 'user', id: person, ip, ua },
    requestId: mintId('req'),
  });
}

/** Writes down that a person has read the log, as any doing of hers. */
export async function act(ctx: RequestContext): Promise<Id<'aud'>> {
  const event = await recordAudit(ctx, {
    action: 'audit.read',
    resource: { type: 'audit_log', id: ctx.tenant.tenant, name: null },
    context: { door: 'search', filters: [] },
  });
  return event.id as Id<'aud'>;
}

/** Returns what each subgraph lets go of a person with. */
export function erasingParts(): ErasureTurnOptions['parts'] {
  return subgraphs.flatMap(({ name, personalData }) =>
    personalData === undefined ? [] : [{ subgraph: name, handler: personalData }],
  );
}

/** Returns the function that completes erasures, as the worker runs it. */
export function erasureTurn(house: EvidenceHouse, changes: Partial<ErasureTurnOptions> = {}): () => Promise<boolean> {
  const { platform } = house.builder;
  return createErasureTurn({
    platform,
    parts: erasingParts(),
    finishTenant,
    cells: platform.databases.cells.map(({ name, region }) => ({
      name,
      region,
      archive: house.archives[name] ?? never(),
    })),
    signer: TEST_SIGNING_KEY,
    verifierKeys: [VERIFIER],
    retentionMs: 86_400_000,
    backupMs: null,
    log: () => undefined,
    ...changes,
  });
}

/** Returns every row of every table of a database as text. */
export async function dumpOf(house: EvidenceHouse, store: StoreName): Promise<string> {
  return dumpOfSchemas(house.stores.url(store), ['app', 'tenon']);
}

/** Returns every row of every table of these schemas as text. */
export async function dumpOfSchemas(url: string, schemas: readonly string[]): Promise<string> {
  return withClient(url, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = any ($1)`,
      [schemas],
    );
    const texts: string[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(`select t::text as row from ${name} t`);
      texts.push(...rows.map(({ row }) => row));
    }
    return texts.join('\n');
  });
}

/** Returns every file under a folder as text, unpacked where it is packed. */
export function filesOf(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files
    .map(({ parentPath, name }) => {
      const bytes = readFileSync(join(parentPath, name));
      return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1');
    })
    .join('\n');
}

/** Changes one row of a tenant as the superuser, who stands for a backup that is played back. */
export async function asSuperuser(
  house: EvidenceHouse,
  store: StoreName,
  sql: string,
  values: unknown[],
): Promise<void> {
  await withClient(house.stores.url(store), async (client) => {
    await client.query('set session_replication_role = replica');
    await client.query(sql, values);
  });
}

/** Returns the UUID of a person. */
export function uuid(person: Id<'usr'>): string {
  return uuidOf('usr', person);
}

function never(): never {
  throw new Error('a cell without an archive');
}
