import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { indexKeyOf } from '#schema/blind-index.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { mintKid, type FieldKey } from '#schema/sealed-field.ts';

/** The keys of the deployment that wrap the keys of tenants: one wraps, older ones still unwrap. */
export interface DataKeys {
  readonly current: DataKey;
  readonly all: readonly DataKey[];
  /** Reads them anew: a key that is not among them may have been made since. */
  readonly reload?: () => DataKeys;
}

/** One of them. */
export interface DataKey {
  readonly kid: string;
  /** 32 bytes. */
  readonly secret: Buffer;
}

/** What runs a statement under the context of one tenant. */
export interface KeyStatement {
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** What sealing the values of one event needs. */
export interface SealingKeys {
  /** The key of the blind index; null where the tenant's keys are destroyed, so that nothing new can be looked for. */
  readonly index: Buffer | null;
  /** Returns the key of a subject that was asked for. */
  of(subject: string): FieldKey;
}

/** The keys that personal values are sealed under, one a data subject and tenant. */
export interface PersonalKeys {
  /**
   * Returns the keys of the subjects (UUIDs of people, or `TENANT_SUBJECT`), making those that are missing in the
   * caller's transaction. What is remembered costs no statement. For a subject whose key is destroyed, a key comes back
   * that nobody keeps: what is sealed under it is erased from the start.
   */
  sealing(tx: KeyStatement, tenant: Id<'tnt'>, subjects: readonly string[]): Promise<SealingKeys>;
  /** Returns the secrets behind these names that are not destroyed; one statement, and nothing is remembered. */
  opening(tx: KeyStatement, tenant: Id<'tnt'>, kids: readonly string[]): Promise<ReadonlyMap<string, Buffer>>;
  /** Returns the key of the tenant's blind index, or null where she has none (any more). */
  indexKey(tx: KeyStatement, tenant: Id<'tnt'>): Promise<Buffer | null>;
  /**
   * Destroys the key of a subject for good and returns its name, which stays. A subject without a key gets a destroyed
   * one, so that there never is another.
   */
  destroySubject(tx: KeyStatement, tenant: Id<'tnt'>, destroyed: DestroyedKey): Promise<string>;
  /** Destroys the key of a tenant and with it every key of her subjects; false where it was destroyed already. */
  destroyTenant(tx: KeyStatement, tenant: Id<'tnt'>, now: Date): Promise<boolean>;
}

/** Whose key is destroyed, when, and under which name the log knows it where the table has forgotten it. */
export interface DestroyedKey {
  readonly subject: string;
  readonly now: Date;
  readonly kid?: string;
}

/** The subject of values that no known person stands behind: its key ends with the tenant. */
export const TENANT_SUBJECT = '00000000-0000-0000-0000-000000000000';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Unwrapped keys in memory at most; some 300 bytes each. */
const CAPACITY = 50_000;
/**
 * How long another process may go on sealing under a key that was destroyed. What it seals then can never be opened,
 * so the time only bounds how long the key itself stays in memory.
 */
const REMEMBERED_MS = 5 * 60 * 1000;

/** Returns the keys of a data key file `{"current","keys":[{"kid","secret"}]}`; another text throws without repeating it. */
export function parseDataKeys(text: string): DataKeys {
  const file = JSON.parse(text) as { current?: unknown; keys?: { kid?: unknown; secret?: unknown }[] };
  const all = (file.keys ?? []).map(({ kid, secret }) => {
    if (typeof kid !== 'string' || !/^[a-z0-9-]{1,32}$/.test(kid)) throw new Error('a data key needs a kid');
    if (typeof secret !== 'string' || !/^[0-9a-f]{64}$/.test(secret)) throw new Error(`data key ${kid} needs 32 bytes`);
    return { kid, secret: Buffer.from(secret, 'hex') };
  });
  const current = all.find(({ kid }) => kid === file.current);
  if (current === undefined) throw new Error('the current data key is not among the keys');
  return { current, all };
}

/** Returns the text of a data key file with one new key that wraps from now on, before older ones that still unwrap. */
export function newDataKeyFile(older: readonly DataKey[] = []): string {
  const kid = `d${Date.now().toString(36)}`;
  const current = { kid, secret: randomBytes(32) };
  return dataKeyFile({ current, all: [current, ...older] });
}

/** Returns the text of a data key file. */
export function dataKeyFile({ current, all }: Pick<DataKeys, 'current' | 'all'>): string {
  const keys = all.map(({ kid, secret }) => ({ kid, secret: secret.toString('hex') }));
  return `${JSON.stringify({ current: current.kid, keys }, null, 2)}\n`;
}

/** What became of the key of a tenant: she has none (any more), it was wrapped by the current key already, or now is. */
export type Rewrapped = 'none' | 'current' | 'rewrapped';

/** Wraps the key of a tenant by the current key of the deployment, in the caller's transaction; keys of people stay as they are. */
export async function rewrapTenantKey(tx: KeyStatement, tenant: Id<'tnt'>, dataKeys: DataKeys): Promise<Rewrapped> {
  const [row] = await tx.query<{ data_kid: string; wrapped: Buffer | null }>(
    'select data_kid, wrapped from tenant_keys for update',
  );
  if (row === undefined || row.wrapped === null) return 'none';
  const { kid, secret: wrapping } = dataKeys.current;
  if (row.data_kid === kid) return 'current';
  const secret = unwrap(dataKeyOf(dataKeys, row.data_kid), boundToTenant(tenant), row.wrapped);
  await tx.query('update tenant_keys set data_kid = $1, wrapped = $2', [
    kid,
    wrap(wrapping, boundToTenant(tenant), secret),
  ]);
  return 'rewrapped';
}

/** Returns the personal keys of the cells, wrapped by the keys of the deployment; the memory is this object's own. */
export function createPersonalKeys(given: DataKeys, nowMs: () => number = () => performance.now()): PersonalKeys {
  const dataKeys = keptUpToDate(given);
  const tenants = createMemory<TenantKey>(nowMs);
  const subjects = createMemory<FieldKey>(nowMs);
  const tenantKey = async (tx: KeyStatement, tenant: Id<'tnt'>, make: boolean): Promise<TenantKey | null> => {
    const known = tenants.get(tenant);
    if (known !== undefined) return known;
    const found = make ? await makeTenantKey(tx, tenant, dataKeys) : await readTenantKey(tx, tenant, dataKeys);
    if (found?.key == null) return null;
    if (found.isCommitted) tenants.set(tenant, found.key);
    return found.key;
  };
  return {
    sealing: async (tx, tenant, asked) => {
      const key = await tenantKey(tx, tenant, true);
      if (key === null) return { index: null, of: throwAwayKeys() };
      const keys = new Map<string, FieldKey>();
      for (const subject of asked) {
        const known = subjects.get(`${tenant} ${subject}`);
        if (known !== undefined) keys.set(subject, known);
      }
      const missing = asked.filter((subject) => !keys.has(subject));
      if (missing.length > 0) {
        for (const made of await makeSubjectKeys(tx, { tenant, key, subjects: missing })) {
          keys.set(made.subject, made.key);
          if (made.isCommitted) subjects.set(`${tenant} ${made.subject}`, made.key);
        }
      }
      return {
        index: key.index,
        of: (subject) => keys.get(subject) ?? fail('INTERNAL_SERVER_ERROR', 'a key that was not asked for'),
      };
    },
    opening: (tx, tenant, kids) => readSecrets(tx, { tenant, kids, dataKeys }),
    indexKey: async (tx, tenant) => (await tenantKey(tx, tenant, false))?.index ?? null,
    destroySubject: async (tx, tenant, destroyed) => {
      subjects.delete(`${tenant} ${destroyed.subject}`);
      return destroySubjectKey(tx, destroyed);
    },
    destroyTenant: async (tx, tenant, now) => {
      tenants.delete(tenant);
      subjects.deleteAll(`${tenant} `);
      const rows = await tx.query(
        'update tenant_keys set wrapped = null, destroyed_at = $1 where wrapped is not null returning destroyed_at',
        [now],
      );
      return rows.length > 0;
    },
  };
}

interface TenantKey {
  readonly secret: Buffer;
  readonly index: Buffer;
}

interface Found {
  /** Null where it is destroyed. */
  readonly key: TenantKey | null;
  /** What another transaction has made and committed; what this one makes may yet be rolled back. */
  readonly isCommitted: boolean;
}

interface TenantKeyRow {
  readonly data_kid: string;
  readonly wrapped: Buffer | null;
  readonly committed: boolean;
}

const IS_COMMITTED = 'transaction_id is distinct from pg_current_xact_id_if_assigned() as committed';

async function readTenantKey(tx: KeyStatement, tenant: Id<'tnt'>, dataKeys: DataKeys): Promise<Found | null> {
  const [row] = await tx.query<TenantKeyRow>(`select data_kid, wrapped, ${IS_COMMITTED} from tenant_keys`);
  return row === undefined ? null : foundTenantKey(row, tenant, dataKeys);
}

/** The second look is for a key that another transaction has made while this one waited for it. */
async function makeTenantKey(tx: KeyStatement, tenant: Id<'tnt'>, dataKeys: DataKeys): Promise<Found> {
  const known = await readTenantKey(tx, tenant, dataKeys);
  if (known !== null) return known;
  const { kid, secret: wrapping } = dataKeys.current;
  const secret = randomBytes(32);
  const made = await tx.query(
    'insert into tenant_keys (data_kid, wrapped) values ($1, $2) on conflict (tenant_id) do nothing returning data_kid',
    [kid, wrap(wrapping, boundToTenant(tenant), secret)],
  );
  if (made.length > 0) return { key: { secret, index: indexKeyOf(secret) }, isCommitted: false };
  return (await readTenantKey(tx, tenant, dataKeys)) ?? fail('SERVICE_UNAVAILABLE', 'the tenant key came and went');
}

function foundTenantKey({ data_kid: kid, wrapped, committed }: TenantKeyRow, tenant: Id<'tnt'>, keys: DataKeys): Found {
  if (wrapped === null) return { key: null, isCommitted: committed };
  const secret = unwrap(dataKeyOf(keys, kid), boundToTenant(tenant), wrapped);
  return { key: { secret, index: indexKeyOf(secret) }, isCommitted: committed };
}

interface SubjectKeyRow {
  readonly subject: string;
  readonly kid: string;
  readonly wrapped: Buffer | null;
  readonly committed: boolean;
}

interface SubjectKeyRequest {
  readonly tenant: Id<'tnt'>;
  readonly key: TenantKey;
  readonly subjects: readonly string[];
}

interface MadeKey {
  readonly subject: string;
  readonly key: FieldKey;
  readonly isCommitted: boolean;
}

/** One statement: it shows what was there before it, and what it made itself. */
const MAKE_SUBJECT_KEYS = `
  with offered as (select * from unnest($1::uuid[], $2::text[], $3::bytea[]) as o (subject, kid, wrapped)),
       made as (insert into subject_keys (subject, kid, wrapped) select subject, kid, wrapped from offered order by subject
                on conflict (tenant_id, subject) do nothing returning subject)
  select o.subject, o.kid, o.wrapped, false as committed from offered o join made m on m.subject = o.subject
  union all
  select subject, kid, wrapped, ${IS_COMMITTED} from subject_keys where subject = any ($1::uuid[])`;

async function makeSubjectKeys(tx: KeyStatement, { tenant, key, subjects }: SubjectKeyRequest): Promise<MadeKey[]> {
  const offers = [...new Set(subjects)].map((subject) => ({ subject, kid: mintKid(), secret: randomBytes(32) }));
  const values = [
    offers.map(({ subject }) => subject),
    offers.map(({ kid }) => kid),
    offers.map(({ subject, kid, secret }) => wrap(key.secret, boundToSubject(tenant, subject, kid), secret)),
  ];
  let rows = await tx.query<SubjectKeyRow>(MAKE_SUBJECT_KEYS, values);
  // Where another transaction has made one in between, its row shows to the next statement.
  if (rows.length < offers.length) rows = await tx.query<SubjectKeyRow>(MAKE_SUBJECT_KEYS, values);
  return rows.map(({ subject, kid, wrapped, committed }) => {
    if (wrapped === null) return { subject, key: { kid, secret: randomBytes(32) }, isCommitted: false };
    const secret = unwrap(key.secret, boundToSubject(tenant, subject, kid), wrapped);
    return { subject, key: { kid, secret }, isCommitted: committed };
  });
}

function throwAwayKeys(): (subject: string) => FieldKey {
  const kid = mintKid();
  return () => ({ kid, secret: randomBytes(32) });
}

interface SecretsRequest {
  readonly tenant: Id<'tnt'>;
  readonly kids: readonly string[];
  readonly dataKeys: DataKeys;
}

async function readSecrets(tx: KeyStatement, request: SecretsRequest): Promise<Map<string, Buffer>> {
  const { tenant, kids, dataKeys } = request;
  const rows = await tx.query<SubjectKeyRow & { data_kid: string; tenant_wrapped: Buffer }>(
    `select t.data_kid, t.wrapped as tenant_wrapped, s.subject, s.kid, s.wrapped, true as committed
       from tenant_keys t join subject_keys s on s.kid = any ($1) and s.wrapped is not null where t.wrapped is not null`,
    [kids],
  );
  const [first] = rows;
  if (first === undefined) return new Map();
  const wrapping = unwrap(dataKeyOf(dataKeys, first.data_kid), boundToTenant(tenant), first.tenant_wrapped);
  return new Map(
    rows.flatMap(({ subject, kid, wrapped }) =>
      wrapped === null ? [] : [[kid, unwrap(wrapping, boundToSubject(tenant, subject, kid), wrapped)]],
    ),
  );
}

async function destroySubjectKey(tx: KeyStatement, { subject, now, kid }: DestroyedKey): Promise<string> {
  const [row] = await tx.query<{ kid: string }>(
    `insert into subject_keys (subject, kid, wrapped, destroyed_at) values ($1, $2, null, $3)
     on conflict (tenant_id, subject) do update
       set wrapped = null, destroyed_at = coalesce(subject_keys.destroyed_at, excluded.destroyed_at)
     returning kid`,
    [subject, kid ?? mintKid(), now],
  );
  return row?.kid ?? fail('INTERNAL_SERVER_ERROR', 'the destroyed key has no row');
}

/** The keys, read anew once where one is asked for that is not among them. */
function keptUpToDate(given: DataKeys): DataKeys {
  let known = given;
  return {
    get current() {
      return known.current;
    },
    get all() {
      return known.all;
    },
    reload: () => (known = given.reload?.() ?? known),
  };
}

function dataKeyOf(dataKeys: DataKeys, kid: string): Buffer {
  const named = ({ all }: DataKeys) => all.find((key) => key.kid === kid)?.secret;
  const secret = named(dataKeys) ?? (dataKeys.reload === undefined ? undefined : named(dataKeys.reload()));
  return secret ?? fail('INTERNAL_SERVER_ERROR', `there is no data key ${kid}`);
}

function boundToTenant(tenant: Id<'tnt'>): string {
  return `tenant key ${uuidOf('tnt', tenant)}`;
}

function boundToSubject(tenant: Id<'tnt'>, subject: string, kid: string): string {
  return `subject key ${uuidOf('tnt', tenant)} ${subject} ${kid}`;
}

/** AES-256-GCM: nonce, ciphertext and tag, 60 bytes. */
function wrap(wrapping: Buffer, boundTo: string, secret: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', wrapping, nonce).setAAD(Buffer.from(boundTo));
  return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
}

function unwrap(wrapping: Buffer, boundTo: string, wrapped: Buffer): Buffer {
  const options = { authTagLength: TAG_BYTES };
  const decipher = createDecipheriv('aes-256-gcm', wrapping, wrapped.subarray(0, NONCE_BYTES), options);
  decipher.setAAD(Buffer.from(boundTo)).setAuthTag(wrapped.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(wrapped.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}

interface Memory<T> {
  get(name: string): T | undefined;
  set(name: string, value: T): void;
  delete(name: string): void;
  deleteAll(prefix: string): void;
}

/** Forgets what is old, and the oldest where there are too many. */
function createMemory<T>(nowMs: () => number): Memory<T> {
  const entries = new Map<string, { readonly value: T; readonly untilMs: number }>();
  return {
    get: (name) => {
      const entry = entries.get(name);
      if (entry === undefined || nowMs() < entry.untilMs) return entry?.value;
      entries.delete(name);
      return undefined;
    },
    set: (name, value) => {
      entries.set(name, { value, untilMs: nowMs() + REMEMBERED_MS });
      for (const oldest of entries.keys()) {
        if (entries.size <= CAPACITY) break;
        entries.delete(oldest);
      }
    },
    delete: (name) => void entries.delete(name),
    deleteAll: (prefix) => {
      for (const name of entries.keys()) if (name.startsWith(prefix)) entries.delete(name);
    },
  };
}
