import { createHash, hash, randomBytes } from 'node:crypto';
import pg from 'pg';
import { parseEntry, type AuditEvent } from '#schema/audit-event.ts';
import { canonicalJson } from '#schema/canonical-json.ts';
import { idOf, uuidOf, uuidv7, type Id, type IdPrefix } from '#schema/ids.ts';
import { mintKid, sealField, type SealedField } from '#schema/sealed-field.ts';
import { copyIn } from './copy-in.ts';

/** A log of one tenant, made by number: the same number makes the same people and things. */
export interface LogOrder {
  readonly tenant: Id<'tnt'>;
  readonly events: number;
}

/** Who and what occurs in the log. */
export const PEOPLE = 2_000;
const THINGS = 40_000;
const SESSIONS = 20_000;
/** A log of some two years. */
export const FIRST_MS = Date.UTC(2025, 0, 1);
export const STEP_MS = 6_000;

/** Something that occurs every so many events. */
interface Kind {
  readonly action: string;
  readonly type: string;
  readonly prefix: IdPrefix;
  readonly weight: number;
  readonly context: (number: number) => AuditEvent['context'];
}

const KINDS: readonly Kind[] = [
  { action: 'document.read', type: 'document', prefix: 'doc', weight: 4000, context: () => ({}) },
  { action: 'document.update', type: 'document', prefix: 'doc', weight: 2000, context: (n) => ({ version: n % 40 }) },
  {
    action: 'document.create',
    type: 'document',
    prefix: 'doc',
    weight: 800,
    context: (n) => ({ project: personId('prj', n % 300) }),
  },
  {
    action: 'document.share',
    type: 'document',
    prefix: 'doc',
    weight: 700,
    context: (n) => ({ permission: n % 3 === 0 ? 'edit' : 'view', to: sealed(n) }),
  },
  {
    action: 'session.create',
    type: 'session',
    prefix: 'ses',
    weight: 900,
    context: (n) => ({ method: n % 5 === 0 ? 'totp' : 'saml' }),
  },
  {
    action: 'audit.read',
    type: 'audit_log',
    prefix: 'tnt',
    weight: 500,
    context: () => ({ door: 'search', filters: ['text'] }),
  },
  {
    action: 'gateway.deny',
    type: 'operation',
    prefix: 'opr',
    weight: 400,
    context: (n) => ({ code: n % 2 === 0 ? 'FORBIDDEN' : 'RATE_LIMITED' }),
  },
  {
    action: 'usage.report',
    type: 'usage_event',
    prefix: 'evt',
    weight: 500,
    context: (n) => ({ metric: 'api_calls', quantity: n % 977 }),
  },
  { action: 'project.create', type: 'project', prefix: 'prj', weight: 60, context: (n) => ({ note: sentence(n) }) },
  { action: 'project.update', type: 'project', prefix: 'prj', weight: 90, context: (n) => ({ note: sentence(n) }) },
  { action: 'user.create', type: 'user', prefix: 'usr', weight: 30, context: () => ({ source: 'scim' }) },
  {
    action: 'user.update',
    type: 'user',
    prefix: 'usr',
    weight: 60,
    context: () => ({ fields: ['title', 'department'] }),
  },
  { action: 'user.deactivate', type: 'user', prefix: 'usr', weight: 9, context: () => ({ source: 'scim' }) },
  {
    action: 'api_key.create',
    type: 'api_key',
    prefix: 'key',
    weight: 5,
    context: () => ({ scopes: ['projects:read'] }),
  },
  { action: 'evidence.request', type: 'evidence_pack', prefix: 'evd', weight: 1, context: () => ({ kind: 'soc2' }) },
];
const RARE: Kind = {
  action: 'identity_connection.disable',
  type: 'identity_connection',
  prefix: 'con',
  weight: 0,
  context: () => ({ reason: 'zanzibar certificate expired' }),
};
/** One in so many events is of the rare kind. */
const RARE_EVERY = 200_003;

const CUMULATED = KINDS.map((_, index) => KINDS.slice(0, index + 1).reduce((sum, { weight }) => sum + weight, 0));
const TOTAL = CUMULATED.at(-1) ?? 0;
const SYLLABLES = [
  'ba',
  'ce',
  'di',
  'fo',
  'gu',
  'ka',
  'le',
  'mi',
  'no',
  'ru',
  'sa',
  'te',
  'vi',
  'wo',
  'xu',
  'za',
] as const;
const KEY = { kid: mintKid(), secret: randomBytes(32) };
/** Sealing ten million values anew would only take time: a search sees what is sealed as so many bytes. */
const SEALED = Array.from({ length: 2048 }, (_, n): SealedField =>
  sealField(KEY, { tenant: 'tnt', event: 'aud', path: 'actor.ip' }, `203.0.${n % 256}.${n >> 8} Mozilla/5.0`),
);

/** Events that are made one by one; a longer log repeats them with ids, requests and times of their own. */
const MADE = 250_000;

/** Loads a log whose entries are of the real shape and whose hashes are not: a search reads none. The head comes last. */
export async function loadLog(url: string, { tenant, events }: LogOrder, say: (line: string) => void): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const made = Array.from({ length: Math.min(events, MADE) }, (_, seq) => madeAt(tenant, seq));
    say(`${made.length} events made`);
    // Sorted once, keys cost a fraction of what they do row by row.
    await client.query(
      'alter table app.log_entries drop constraint log_entries_pkey, drop constraint log_entries_tenant_id_event_id_key',
    );
    await copyIn(client, `copy app.log_entries (${COLUMNS}) from stdin`, chunksOf({ tenant, events }, made));
    say(`${events} events copied`);
    await client.query(`set maintenance_work_mem = '1GB'`);
    await client.query(
      'alter table app.log_entries add primary key (tenant_id, epoch, seq), add unique (tenant_id, event_id)',
    );
    // As many roots on the right edge as a tree of that size has; whoever exports reads the head.
    const frontier = Array.from(events.toString(2).replaceAll('0', ''), () => '0'.repeat(64));
    await client.query(
      `insert into app.log_heads (tenant_id, size, last_leaf, sealed_size, frontier) values ($1, $2, $3, $2, $4)`,
      [uuidOf('tnt', tenant), events, Buffer.alloc(32), JSON.stringify(frontier)],
    );
    await client.query('vacuum analyze app.log_entries');
  } finally {
    await client.end();
  }
}

const COLUMNS =
  'tenant_id, epoch, actor_type, seq, event_id, leaf, entry, ts, action, outcome, actor_id, resource_type, resource_id';

/** Returns the id of the n-th thing of a kind. */
export function personId<P extends IdPrefix>(prefix: P, number: number): Id<P> {
  const hex = createHash('sha256').update(`${prefix} ${number}`).digest('hex');
  return idOf(
    prefix,
    `0190${hex.slice(0, 4)}-${hex.slice(4, 8)}-7${hex.slice(8, 11)}-8${hex.slice(11, 14)}-${hex.slice(14, 26)}`,
  );
}

/** Returns the id of the request that the n-th event was made by. */
export function requestIdAt(number: number): string {
  return requestOf(number % MADE).slice(0, -4) + String(Math.floor(number / MADE)).padStart(4, '0');
}

function requestOf(number: number): Id<'req'> {
  const hex = [1, 2, 3].map((seed) =>
    mix(number ^ Math.imul(seed, 0x2545f491))
      .toString(16)
      .padStart(8, '0'),
  );
  const digits = hex.join('');
  return idOf(
    'req',
    `0191${digits.slice(0, 4)}-${digits.slice(4, 8)}-7${digits.slice(8, 11)}-8${digits.slice(11, 14)}-${digits.slice(12, 24)}`,
  );
}

function* chunksOf({ tenant, events }: LogOrder, made: readonly MadeEvent[]): Generator<Buffer> {
  const before = `${uuidOf('tnt', tenant)}\t1\tuser\t`;
  let lines = '';
  for (let seq = 0; seq < events; seq++) {
    const event = made[seq % made.length];
    if (event !== undefined) lines += `${before}${rowOf(event, seq)}\n`;
    if (seq % 1000 !== 999) continue;
    yield Buffer.from(lines, 'latin1');
    lines = '';
  }
  yield Buffer.from(lines, 'latin1');
}

/** An event without what its repetitions have of their own. */
interface MadeEvent {
  readonly uuid: string;
  readonly id: string;
  readonly request: string;
  readonly leaf: string;
  /** The entry as RFC 8785 has it, cut where id, request, time and the hash before stand. */
  readonly parts: readonly [string, string, string, string];
  /** The columns behind the time. */
  readonly copies: string;
}

/** There is nothing in it that JSON or COPY would have to quote. Ids end in four digits that count the repetitions. */
function rowOf({ uuid, id, request, leaf, parts, copies }: MadeEvent, seq: number): string {
  const nth = String(Math.floor(seq / MADE)).padStart(4, '0');
  const ts = new Date(FIRST_MS + seq * STEP_MS).toISOString();
  const entry = `${parts[0]}${id}${nth}${parts[1]}${request}${nth}${parts[2]}${ts}${parts[3]}${leaf}","seq":${seq},"v":1}`;
  // What is written here by hand has to be what the sequencer would write.
  if (seq % 5000 === 1) parseEntry(Buffer.from(entry));
  return `${seq}\t${uuid}${nth}\t\\\\x${leaf}\t${entry}\t${ts}\t${copies}`;
}

function madeAt(tenant: Id<'tnt'>, seq: number): MadeEvent {
  const dice = mix(seq);
  const kind = kindAt(seq, dice);
  const person = skewed(mix(dice ^ 0x51), PEOPLE);
  const thing = skewed(mix(dice ^ 0xa7), THINGS);
  const uuid = uuidv7(FIRST_MS + seq * STEP_MS);
  const resource = cached(kind.prefix, thing);
  const name = kind.type === 'project' ? `"${word(thing)} ${word(thing >> 3)}"` : 'null';
  const session = cached('ses', (person * 7 + (seq >> 12)) % SESSIONS);
  const outcome = kind.action === 'gateway.deny' ? 'denied' : dice % 331 === 0 ? 'failure' : 'success';
  return {
    uuid: uuid.slice(0, -4),
    id: idOf('aud', uuid).slice(0, -4),
    request: requestOf(seq).slice(0, -4),
    leaf: hash('sha256', String(seq), 'hex'),
    parts: [
      `{"action_version":1,"event":{"action":"${kind.action}","actor":${actorText(person)},"context":${canonicalJson(kind.context(dice))},"id":"`,
      '","request_id":"',
      `","resource":{"id":"${resource}","name":${name},"type":"${kind.type}"},"session_id":"${session}","tenant_id":"${tenant}","ts":"`,
      `"},"outcome":"${outcome}","prev":"`,
    ],
    copies: [kind.action, outcome, cached('usr', person), kind.type, resource].join('\t'),
  };
}

function kindAt(seq: number, dice: number): Kind {
  if (seq % RARE_EVERY === RARE_EVERY >> 1) return RARE;
  return KINDS[CUMULATED.findIndex((edge) => dice % TOTAL < edge)] ?? RARE;
}

const ACTORS: string[] = [];

function actorText(person: number): string {
  return (ACTORS[person] ??= canonicalJson({
    type: 'user',
    id: cached('usr', person),
    ip: sealed(person),
    ua: sealed(person + 7),
  }));
}

const IDS = new Map<IdPrefix, string[]>();

function cached(prefix: IdPrefix, number: number): string {
  const known = IDS.get(prefix) ?? [];
  IDS.set(prefix, known);
  return (known[number] ??= personId(prefix, number));
}

function sealed(number: number): SealedField {
  return SEALED[number % SEALED.length] ?? { $enc: { k: '', i: '', c: '' } };
}

/** Some do much and most do little: half of what happens is done by an eighth of them. */
function skewed(dice: number, count: number): number {
  return Math.floor(count * (dice / 2 ** 32) ** 3);
}

function sentence(number: number): string {
  return Array.from({ length: 4 + (number % 5) }, (_, place) => word(mix(number + place))).join(' ');
}

/** Some 65,000 words. */
export function word(number: number): string {
  return [0, 4, 8, 12].map((shift) => SYLLABLES[(number >> shift) & 15]).join('');
}

function mix(number: number): number {
  let mixed = Math.imul(number ^ (number >>> 16) ^ 0x9e3779b9, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
