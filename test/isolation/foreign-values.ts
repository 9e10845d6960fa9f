import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { snapshotCatalog } from '#kit/catalog-snapshot.ts';
import { idOf, type IdPrefix } from '#schema/ids.ts';
import type { StoreName, TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

/** What is known of a tenant that another may never learn, sorted by where it could be put into a request. */
export interface ForeignValues {
  /** Public ids by prefix: of the thing that a row is, and of nothing where the prefix fits no table. */
  readonly ids: ReadonlyMap<string, readonly string[]>;
  readonly uuids: readonly string[];
  readonly cursors: readonly string[];
  /** Names, addresses and words; each holds a mark. */
  readonly texts: readonly string[];
}

/** Begins every text of a tenant under test. */
export const MARK = /xq[0-9a-f]{12}/g;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
/** A public id anywhere, also inside base64url once decoded. */
export const PUBLIC_ID = /\b[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}\b/g;

const PREFIX_OF: Readonly<Record<string, IdPrefix>> = {
  users: 'usr',
  groups: 'grp',
  roles: 'rol',
  credentials: 'key',
  sessions: 'ses',
  projects: 'prj',
  documents: 'doc',
  document_shares: 'shr',
  usage_events: 'evt',
  invoices: 'inv',
  invoice_lines: 'lin',
  evidence_packs: 'evd',
  registered_operations: 'opr',
  identity_connections: 'con',
  scim_connections: 'con',
  domain_proofs: 'dom',
  sign_in_factors: 'fct',
  security_event_receivers: 'rcv',
  security_event_deliveries: 'dlv',
  scim_requests: 'scr',
  revocations: 'rvk',
  audit_views: 'vew',
  legal_holds: 'hld',
  audit_streams: 'str',
  erasures: 'req',
  outbox: 'aud',
  log_entries: 'aud',
  tenants: 'tnt',
};

/** Returns a text that nobody has yet and that is found again wherever it stands. */
export function newMark(): string {
  return `xq${randomBytes(6).toString('hex')}`;
}

/** Reads every row of the tenants in every table of the stores past row security, and what their own answers said. */
export async function harvest(
  stores: TestStores,
  { of, from, answers }: { of: readonly string[]; from: readonly StoreName[]; answers: readonly string[] },
): Promise<ForeignValues> {
  const ids = new Map<string, Set<string>>();
  const [uuids, texts, cursors] = [new Set<string>(of), new Set<string>(), new Set<string>()];
  const add = (prefix: string, id: string) => void ids.set(prefix, (ids.get(prefix) ?? new Set()).add(id));
  for (const store of from) {
    for (const { table, row } of await rowsOf(stores.url(store), of)) {
      for (const [uuid] of row.matchAll(UUID)) uuids.add(uuid);
      const own = /"id"\s*:\s*"([0-9a-f-]{36})"/.exec(row)?.[1];
      const prefix = PREFIX_OF[table];
      if (own !== undefined && prefix !== undefined) add(prefix, idOf(prefix, own));
      for (const [text] of row.matchAll(/[\w.+@-]*xq[0-9a-f]{12}[\w.+@-]*/g)) texts.add(text);
    }
  }
  for (const answer of answers) {
    for (const [id] of answer.matchAll(PUBLIC_ID)) add(id.slice(0, 3), id);
    for (const [, cursor = ''] of answer.matchAll(/"(?:cursor|endCursor|startCursor)":"([^"]+)"/g)) cursors.add(cursor);
  }
  return {
    ids: new Map([...ids].map(([prefix, found]) => [prefix, [...found]])),
    uuids: [...uuids],
    cursors: [...cursors],
    texts: [...texts],
  };
}

/** Returns every row of the tenants in a store as JSON, by table. */
export async function rowsOf(url: string, tenants: readonly string[]): Promise<{ table: string; row: string }[]> {
  return withClient(url, async (client) => {
    const { relations } = await snapshotCatalog(client);
    const found: { table: string; row: string }[] = [];
    for (const { name } of relations.filter(({ schema, kind }) => schema === 'app' && kind.endsWith('table'))) {
      const { rows } = await client.query<{ row: string }>(
        `select to_jsonb(t)::text as row from app.${pg.escapeIdentifier(name)} t where tenant_id = any($1) order by 1`,
        [tenants],
      );
      found.push(...rows.map(({ row }) => ({ table: name, row })));
    }
    return found;
  });
}

/**
 * Returns a value of the same form that is of nothing: it differs in its random part alone, so that it stands at the same
 * place of every order and has the same length.
 */
export function ofNothing(value: string): string {
  if (PUBLIC_ID.test(reset(PUBLIC_ID, value))) return value.replaceAll(PUBLIC_ID, (id) => id.slice(0, -8) + base32(8));
  if (UUID.test(reset(UUID, value))) return value.replaceAll(UUID, (uuid) => uuid.slice(0, -12) + hex(12));
  if (MARK.test(reset(MARK, value))) return value.replaceAll(MARK, () => newMark());
  const inner = Buffer.from(value, 'base64url').toString('utf8');
  if (Buffer.from(inner).toString('base64url') !== value || inner === '' || !/[0-9a-z]{26}|-/.test(inner)) return value;
  return Buffer.from(ofNothing(inner)).toString('base64url');
}

/** A pattern that searches everywhere remembers where it stopped. */
function reset(pattern: RegExp, value: string): string {
  pattern.lastIndex = 0;
  return value;
}

function hex(length: number): string {
  return randomBytes(length).toString('hex').slice(0, length);
}

function base32(length: number): string {
  return Array.from(randomBytes(length), (byte) => '0123456789abcdefghjkmnpqrstvwxyz'.charAt(byte & 31)).join('');
}
