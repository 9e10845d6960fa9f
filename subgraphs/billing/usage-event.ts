import { Big } from 'big.js';
import objectHash from 'object-hash';
import { fail, TenonError, type ErrorCode } from '#schema/errors.ts';
import { mintId, uuidOrNull } from '#schema/ids.ts';
import { decimalText } from './decimal.ts';
import { isMetric, METRICS, type MetricName } from './pricing-plans.ts';

/** The most events that one request may bring. */
export const MAX_EVENTS = 1000;

/** Events as they came, in the wire's shape and not yet believed. */
export interface UsageBatch {
  readonly items: readonly unknown[];
  /** Names an event, or a field of it, as its sender knows it: `events[3].value`, `line 4: value`. */
  readonly nameOf: (index: number, field?: string) => string;
}

/** A usage event in its one normal form. */
export interface UsageEvent {
  /** Place in the batch. */
  readonly index: number;
  readonly id: string;
  readonly userId: string | null;
  readonly metric: MetricName;
  /** Plain decimal text, not negative. */
  readonly value: string;
  /** RFC 3339 in UTC to the millisecond. */
  readonly timestamp: string;
  /** What is sent again under it counts once. */
  readonly idempotency: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** SHA-256 (hex) over what was reported; ids of the event itself and of the tenant have no part in it. */
  readonly fingerprint: string;
}

/** What an event is checked against. */
export interface UsageSurroundings {
  /** Id of the tenant whose credential brought the event. */
  readonly tenant: string;
  readonly now: Date;
}

const FIELDS = ['event_id', 'tenant_id', 'user_id', 'metric', 'value', 'timestamp', 'idempotency', 'metadata'];

const VALUE_MAX = '1000000000000000000';
/** A reporter's clock may be a little ahead; one that is more so would put usage into a period that has not begun. */
const FUTURE_MAX_MS = 5 * 60_000;
/** A month and some days: what is later than that could belong to an invoice that was already sent. */
const AGE_MAX_MS = 35 * 24 * 3_600_000;
const IDEMPOTENCY = /^[!-~]{1,200}$/;
const TIMESTAMP = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/i;
const METADATA_KEY = /^[a-z][\w.-]{0,63}$/i;
const METADATA_MAX_KEYS = 20;
const METADATA_MAX_LENGTH = 500;
/** PostgreSQL stores no null character, and half a surrogate pair is no text. */
const NO_TEXT = /[\0\p{Surrogate}]/u;
/** More would only repeat itself: a batch with one fault often has it everywhere. */
const MAX_FAULTS = 10;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Returns the events of a batch in their normal form. Hostile input enters here. One bad event refuses the batch, with a
 * hint that names up to ten by `nameOf`: UNKNOWN_METRIC where that is all that is wrong, else BAD_USER_INPUT. No event
 * at all is BAD_USER_INPUT, more than a thousand are PAYLOAD_TOO_LARGE.
 */
export function readUsageEvents(batch: UsageBatch, surroundings: UsageSurroundings): UsageEvent[] {
  if (batch.items.length === 0) fail('BAD_USER_INPUT', 'no usage event', { hint: 'There is no event in it.' });
  if (batch.items.length > MAX_EVENTS) {
    fail('PAYLOAD_TOO_LARGE', 'too many usage events', { hint: `A request takes ${MAX_EVENTS} events at most.` });
  }
  const events: UsageEvent[] = [];
  const faults: TenonError[] = [];
  for (const [index, item] of batch.items.entries()) {
    try {
      events.push(readEvent(item, { ...surroundings, index, nameOf: batch.nameOf }));
    } catch (error) {
      if (!(error instanceof TenonError)) throw error;
      faults.push(error);
      if (faults.length === MAX_FAULTS) break;
    }
  }
  if (faults.length > 0) refuseBatch(faults);
  return events;
}

interface Reading extends UsageSurroundings {
  readonly index: number;
  readonly nameOf: UsageBatch['nameOf'];
}

function readEvent(item: unknown, reading: Reading): UsageEvent {
  const fields = readFields(item, reading);
  requireOwnTenant(fields['tenant_id'], reading);
  const metric = readMetric(fields['metric'], reading);
  const reported = {
    userId: readUser(fields['user_id'], reading),
    metric,
    value: readValue(fields['value'], metric, reading),
    timestamp: readTimestamp(fields['timestamp'], reading),
    metadata: readMetadata(fields['metadata'], reading),
  };
  return {
    ...reported,
    index: reading.index,
    id: readEventId(fields['event_id'], reading),
    idempotency: readIdempotency(fields['idempotency'], reading),
    fingerprint: objectHash(reported, { algorithm: 'sha256', respectType: false }),
  };
}

function readFields(item: unknown, reading: Reading): Fields {
  if (!isFields(item)) return refuse(reading, { fault: 'is not an object' });
  const unknown = Object.keys(item).find((key) => !FIELDS.includes(key));
  // The sender may have meant a field of ours; what she wrote is not repeated, since it may be anything.
  if (unknown !== undefined) refuse(reading, { fault: `has a field that is none of ${FIELDS.join(', ')}` });
  return item;
}

/** The tenant comes from the credential; an event may repeat her, and naming another is a mix-up worth stopping. */
function requireOwnTenant(value: unknown, reading: Reading): void {
  if (value != null && value !== reading.tenant)
    refuse(reading, { field: 'tenant_id', fault: 'is not the tenant of this credential' });
}

/** Without one the event gets an id; a ULID in capitals names the same. */
function readEventId(value: unknown, reading: Reading): string {
  if (value == null) return mintId('evt');
  const id = typeof value === 'string' ? value.toLowerCase() : '';
  return uuidOrNull('evt', id) === null
    ? refuse(reading, { field: 'event_id', fault: 'takes evt_ and 26 characters of base 32' })
    : id;
}

function readUser(value: unknown, reading: Reading): string | null {
  if (value == null) return null;
  const isUser = typeof value === 'string' && uuidOrNull('usr', value) !== null;
  return isUser ? value : refuse(reading, { field: 'user_id', fault: 'takes the id of a user, or null' });
}

function readMetric(value: unknown, reading: Reading): MetricName {
  if (typeof value !== 'string') return refuse(reading, { field: 'metric', fault: 'takes the name of a metric' });
  if (isMetric(value)) return value;
  return refuse(reading, {
    field: 'metric',
    fault: `takes one of ${Object.keys(METRICS).join(', ')}`,
    code: 'UNKNOWN_METRIC',
  });
}

function readValue(value: unknown, metric: MetricName, reading: Reading): string {
  const { decimals } = METRICS[metric];
  const text = decimalText(value);
  if (text === null || new Big(text).lt(0) || new Big(text).gt(VALUE_MAX) || decimalsOf(text) > decimals) {
    const kind = decimals === 0 ? 'a whole number' : `a decimal number with at most ${decimals} decimals`;
    return refuse(reading, {
      field: 'value',
      fault: `takes ${kind} from 0 to 1e18, as a string where a JSON number cannot hold it exactly`,
    });
  }
  return text;
}

function decimalsOf(text: string): number {
  const point = text.indexOf('.');
  return point < 0 ? 0 : text.length - point - 1;
}

function readTimestamp(value: unknown, reading: Reading): string {
  const time = typeof value === 'string' ? instantOf(value) : null;
  if (time === null)
    return refuse(reading, { field: 'timestamp', fault: 'takes a time like 2026-05-04T10:33:21Z (RFC 3339)' });
  const aheadMs = time.getTime() - reading.now.getTime();
  if (aheadMs > FUTURE_MAX_MS) refuse(reading, { field: 'timestamp', fault: 'is more than 5 minutes in the future' });
  if (aheadMs < -AGE_MAX_MS) refuse(reading, { field: 'timestamp', fault: 'is more than 35 days ago' });
  return time.toISOString();
}

function instantOf(text: string): Date | null {
  const [, day, time] = TIMESTAMP.exec(text) ?? [];
  if (day === undefined || time === undefined) return null;
  const local = new Date(`${day}T${time}Z`);
  const instant = new Date(text.toUpperCase());
  if (Number.isNaN(local.getTime()) || Number.isNaN(instant.getTime())) return null;
  // The way back shows days that a month does not have, which Date would move to the next one.
  return local.toISOString().startsWith(`${day}T${time}`) ? instant : null;
}

function readIdempotency(value: unknown, reading: Reading): string {
  const isKey = typeof value === 'string' && IDEMPOTENCY.test(value);
  return isKey ? value : refuse(reading, { field: 'idempotency', fault: 'takes 1 to 200 visible ASCII characters' });
}

function readMetadata(value: unknown, reading: Reading): Record<string, string> {
  if (value == null) return {};
  if (!isFields(value)) return refuse(reading, { field: 'metadata', fault: 'takes an object of strings' });
  const entries = Object.entries(value);
  if (entries.length > METADATA_MAX_KEYS)
    refuse(reading, { field: 'metadata', fault: `takes ${METADATA_MAX_KEYS} keys at most` });
  const isShort = entries.every(([key, text]) => METADATA_KEY.test(key) && isMetadataText(text));
  if (!isShort)
    refuse(reading, {
      field: 'metadata',
      fault: `takes keys of letters, digits and _.- and strings of at most ${METADATA_MAX_LENGTH} characters`,
    });
  return Object.fromEntries(entries) as Record<string, string>;
}

function isMetadataText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= METADATA_MAX_LENGTH && !NO_TEXT.test(value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Fault {
  /** The field at fault; without one it is the event as a whole. */
  readonly field?: string;
  /** What is wrong with it, as a sentence that begins with its name goes on. */
  readonly fault: string;
  readonly code?: ErrorCode;
}

function refuse(reading: Reading, { field, fault, code = 'BAD_USER_INPUT' }: Fault): never {
  const name = reading.nameOf(reading.index, field);
  return fail(code, `usage event refused at ${field ?? 'its shape'}`, { hint: `${name} ${fault}.` });
}

function refuseBatch(faults: readonly TenonError[]): never {
  const isOnlyMetrics = faults.every(({ code }) => code === 'UNKNOWN_METRIC');
  const hint = faults.map((fault) => fault.hint).join(' ');
  return fail(isOnlyMetrics ? 'UNKNOWN_METRIC' : 'BAD_USER_INPUT', `${faults.length} usage events refused`, { hint });
}
