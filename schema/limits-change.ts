import {
  LIMIT_SUBJECTS,
  OPERATION_CLASSES,
  type BudgetLimits,
  type LimitSubject,
  type OperationClass,
  type Rate,
  type SubjectLimits,
} from './budget-limits.ts';

/** The numbers of one subject that differ from others; what is left out is as it was. */
export interface SubjectChange {
  readonly points?: Readonly<Partial<Record<OperationClass, Rate>>>;
  readonly requests?: Rate;
}

/** The numbers of a tenant or tier that differ from others; what is left out is as it was. */
export interface LimitsChange extends Readonly<Partial<Record<LimitSubject, SubjectChange>>> {
  readonly maxQueryCost?: number;
  readonly concurrency?: number;
}

/** Told of a number that cannot be used: where it stands, and what it takes. */
export type OnFault = (path: string, takes: string) => void;

/**
 * Returns the change that any value describes: a row of the database, an input of the graph. Null and what is missing
 * are left out; so is a number out of its bounds, of which `onFault` hears first.
 */
export function readLimitsChange(value: unknown, onFault: OnFault = ignore): LimitsChange {
  const reader = { source: fieldsOf(value), path: '', onFault };
  const subjects = LIMIT_SUBJECTS.map((subject) => [
    subject,
    emptyToUndefined(subjectChange(fieldsOf(reader.source[subject]), `${subject}.`, onFault)),
  ]);
  return present({
    maxQueryCost: numberOf(reader, 'maxQueryCost'),
    concurrency: numberOf(reader, 'concurrency'),
    ...(Object.fromEntries(subjects) as Record<LimitSubject, SubjectChange | undefined>),
  });
}

/** Returns the change of one subject that any value describes, like `readLimitsChange`. */
export function readSubjectChange(value: unknown, onFault: OnFault = ignore): SubjectChange {
  return subjectChange(fieldsOf(value), '', onFault);
}

/** Returns the limits with every number that the change names in place of theirs. */
export function changedLimits(limits: BudgetLimits, change: LimitsChange): BudgetLimits {
  const subject = (name: LimitSubject) => combined(limits[name], change[name], (_, changed) => changed);
  return {
    maxQueryCost: change.maxQueryCost ?? limits.maxQueryCost,
    concurrency: change.concurrency ?? limits.concurrency,
    tenant: subject('tenant'),
    client: subject('client'),
    user: subject('user'),
  };
}

/** Returns the limits with the client's numbers at most at those of the change: it lowers and never raises. */
export function loweredClient(limits: BudgetLimits, change: SubjectChange): BudgetLimits {
  return { ...limits, client: combined(limits.client, change, Math.min) };
}

/** Tells where a change names a number above that of the limits, such as `points.query.capacity`; null where nowhere. */
export function firstRaise(limits: SubjectLimits, change: SubjectChange): string | null {
  const rates = [
    ...OPERATION_CLASSES.map((name) => [`points.${name}`, limits.points[name], change.points?.[name]] as const),
    ['requests', limits.requests, change.requests] as const,
  ];
  for (const [path, allowed, wanted] of rates) {
    if (wanted === undefined) continue;
    if (wanted.capacity > allowed.capacity) return `${path}.capacity`;
    if (wanted.restorePerSecond > allowed.restorePerSecond) return `${path}.restorePerSecond`;
  }
  return null;
}

interface Bound {
  readonly least: number;
  readonly most: number;
  readonly whole: boolean;
}

/** Wide enough for any tenant, narrow enough for exact sums in a script of the bucket store. */
const BOUNDS = {
  capacity: { least: 1, most: 1_000_000_000, whole: true },
  restorePerSecond: { least: 0.001, most: 10_000_000, whole: false },
  maxQueryCost: { least: 1, most: 1_000_000, whole: true },
  concurrency: { least: 1, most: 10_000, whole: true },
} as const satisfies Record<string, Bound>;

interface Reader {
  readonly source: Readonly<Record<string, unknown>>;
  readonly path: string;
  readonly onFault: OnFault;
}

function subjectChange(source: Reader['source'], path: string, onFault: OnFault): SubjectChange {
  const given = fieldsOf(source['points']);
  const points = OPERATION_CLASSES.map((name) => [name, rateOf(given[name], `${path}points.${name}.`, onFault)]);
  return present({
    points: emptyToUndefined(present(Object.fromEntries(points) as Record<OperationClass, Rate | undefined>)),
    requests: rateOf(source['requests'], `${path}requests.`, onFault),
  });
}

/** A rate with one unusable number is left out as a whole. */
function rateOf(value: unknown, path: string, onFault: OnFault): Rate | undefined {
  if (value == null) return undefined;
  const reader = { source: fieldsOf(value), path, onFault };
  const capacity = numberOf(reader, 'capacity');
  const restorePerSecond = numberOf(reader, 'restorePerSecond');
  return capacity === undefined || restorePerSecond === undefined ? undefined : { capacity, restorePerSecond };
}

function numberOf({ source, path, onFault }: Reader, name: keyof typeof BOUNDS): number | undefined {
  const value = source[name];
  if (value == null) return undefined;
  const { least, most, whole } = BOUNDS[name];
  const fits = typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value));
  if (fits) return value;
  onFault(`${path}${name}`, `${whole ? 'a whole number' : 'a number'} from ${least} to ${most}`);
  return undefined;
}

function combined(
  limits: SubjectLimits,
  change: SubjectChange | undefined,
  choose: (own: number, changed: number) => number,
): SubjectLimits {
  if (change === undefined) return limits;
  const rate = (own: Rate, changed: Rate | undefined): Rate =>
    changed === undefined
      ? own
      : {
          capacity: choose(own.capacity, changed.capacity),
          restorePerSecond: choose(own.restorePerSecond, changed.restorePerSecond),
        };
  const { points } = limits;
  return {
    points: {
      query: rate(points.query, change.points?.query),
      mutation: rate(points.mutation, change.points?.mutation),
      bulk: rate(points.bulk, change.points?.bulk),
    },
    requests: rate(limits.requests, change.requests),
  };
}

type Present<T> = { [Name in keyof T]?: Exclude<T[Name], undefined> };

/** Without the properties that are undefined. */
function present<T extends object>(value: T): Present<T> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as Present<T>;
}

function emptyToUndefined<T extends object>(value: T): T | undefined {
  return Object.keys(value).length === 0 ? undefined : value;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function ignore(): void {}
