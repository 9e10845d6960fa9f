import type { Config } from './config.ts';
import type { CellSettings } from './setting-readers.ts';
import { DATA_CLASSES, TABLE_CLASSES, type DataClassName, type StoreKind } from './stored-data.ts';

/**
 * Where something of a tenant lies: in her region, outside of it for good, or outside in passing. `named`: at an address
 * that the tenant herself has named.
 */
export const RESIDENCIES = ['stays', 'leaves', 'passes', 'named'] as const;
/** Where something of a tenant lies. */
export type Residency = (typeof RESIDENCIES)[number];

/** One place that holds or sees something of the tenants of a cell. */
export interface ResidencyEntry {
  /** Small letters and underscores. */
  readonly place: string;
  readonly residency: Residency;
  readonly holds: readonly DataClassName[];
  /** What of them, and why it is where it is. */
  readonly why: string;
  /** Host of the address in the settings, for operators; null where it has none. */
  readonly at: string | null;
}

/** What the ledger of a cell is made from: the cell, and what all cells share. */
export interface ResidencySettings extends Pick<
  Config,
  'profile' | 'mailUrl' | 'redisUrl' | 'otlpEndpoint' | 'tsaUrl' | 'witnesses'
> {
  readonly cell: CellSettings;
  readonly directoryUrl: string | null;
}

/**
 * Returns every place that holds or sees something of the tenants of a cell. What the settings of the cell name is in its
 * region, since its stores are stamped with it; what cells share is taken for outside of it, wherever it stands.
 */
export function residencyOf(settings: ResidencySettings): ResidencyEntry[] {
  const machine = settings.profile === 'embedded' ? [MACHINE] : [];
  return [...storesOf(settings.cell), mailOf(settings), ...sharedOf(settings), ...ALWAYS, ...machine];
}

function storesOf({ database, auditDatabase, archive }: CellSettings): ResidencyEntry[] {
  return [
    {
      place: 'tenant_database',
      residency: 'stays',
      holds: classesOf('cell'),
      why: 'Every row of the tenant, in the pool or in a store of her own beside it, with the queue of her jobs; the database refuses a context that was signed for another cell.',
      at: hostOf(database),
    },
    {
      place: 'audit_database',
      residency: 'stays',
      holds: classesOf('audit'),
      why: 'Her audit log and its index, and the evidence packs and exports that she asked for.',
      at: hostOf(auditDatabase),
    },
    {
      place: 'archive',
      residency: 'stays',
      holds: ['audit'],
      why: 'The sealed log, written once; an archive takes nothing under the name of another cell.',
      at: placeOfArchive(archive),
    },
  ];
}

function mailOf({ cell: { mail }, mailUrl }: ResidencySettings): ResidencyEntry {
  const common = { place: 'mail', holds: ['people', 'secrets'] as const };
  if (mail !== undefined)
    return {
      ...common,
      residency: 'stays',
      why: 'Mails to her people leave by the server of the cell.',
      at: hostOf(mail),
    };
  if (mailUrl !== null)
    return {
      ...common,
      residency: 'leaves',
      why: 'Mails to her people (address, links to sign in) leave by one server for all cells; a cell that names a server of its own keeps them.',
      at: hostOf(mailUrl),
    };
  return {
    ...common,
    residency: 'leaves',
    why: 'Mails are written to a folder of the machine, for trying out.',
    at: null,
  };
}

/** What all cells of a deployment share, as far as it is set up. */
function sharedOf({ directoryUrl, redisUrl, otlpEndpoint, tsaUrl, witnesses }: ResidencySettings): ResidencyEntry[] {
  const entries: (ResidencyEntry | null)[] = [
    {
      place: 'directory',
      residency: 'leaves',
      holds: classesOf('directory'),
      why: 'Which cell serves whom has to be known before it is known who asks: ids, short names, states and proven e-mail domains, and nothing of any person.',
      at: directoryUrl === null ? null : hostOf(directoryUrl),
    },
    redisUrl === null
      ? null
      : {
          place: 'budget_store',
          residency: 'leaves',
          holds: ['operation'],
          why: 'How much of her budgets is used, by ids of tenant, client and user, for minutes: all gateways have to agree.',
          at: hostOf(redisUrl),
        },
    otlpEndpoint === null
      ? null
      : {
          place: 'traces',
          residency: 'leaves',
          holds: ['operation'],
          why: 'Times and names of operations with her id, tier and region; no values, no names of people. A process sends to the collector of its own settings.',
          at: hostOf(otlpEndpoint),
        },
    tsaUrl === null
      ? null
      : {
          place: 'time_stamps',
          residency: 'leaves',
          holds: ['audit'],
          why: 'One hash over the logs of all tenants of the cell, from which nothing of them can be told.',
          at: hostOf(tsaUrl),
        },
    witnesses.length === 0
      ? null
      : {
          place: 'witnesses',
          residency: 'leaves',
          holds: ['audit'],
          why: 'Sizes and one hash over the logs of all tenants of the cell, from which nothing of them can be told.',
          at: witnesses.map(({ url }) => hostOf(url)).join(' '),
        },
  ];
  return entries.filter((entry) => entry !== null);
}

const MACHINE: ResidencyEntry = {
  place: 'machine',
  residency: 'leaves',
  holds: Object.keys(DATA_CLASSES) as DataClassName[],
  why: 'The platform runs embedded: every cell is on this one machine, and its region is a name, for trying out.',
  at: null,
};

const ALWAYS: readonly ResidencyEntry[] = [
  {
    place: 'gateways',
    residency: 'passes',
    holds: ['people', 'content', 'billing', 'audit', 'settings'],
    why: 'Requests and answers pass through the memory of the gateway that was asked, and rights are remembered there for a minute. A deployment that wants them in one region asks gateways there, whose settings name its cells alone.',
    at: null,
  },
  {
    place: 'process_logs',
    residency: 'leaves',
    holds: ['operation'],
    why: 'Lines of gateways and workers with ids of tenant, request and event, where the process writes them; no names, no values.',
    at: null,
  },
  {
    place: 'mutation_journal',
    residency: 'leaves',
    holds: ['operation'],
    why: 'Ids of tenant and request with the name of a mutation, on the disk of a gateway until its cell has them.',
    at: null,
  },
  {
    place: 'receivers',
    residency: 'named',
    holds: ['people', 'audit'],
    why: 'Streams of her log, security events and sign-ins go to the addresses that she has set up, and to no other.',
    at: null,
  },
  {
    place: 'offered_documents',
    residency: 'named',
    holds: ['content'],
    why: 'A document that she has offered to another tenant, and who has accepted, is shown to that tenant wherever she is. It is read where its owner lives, each reading is in her log, and nothing of it is stored elsewhere.',
    at: null,
  },
  {
    place: 'domain_names',
    residency: 'leaves',
    holds: ['routing'],
    why: 'The proof of an e-mail domain is looked up in the DNS, which is public.',
    at: null,
  },
];

function classesOf(kind: StoreKind): DataClassName[] {
  const held = new Set(Object.values(TABLE_CLASSES[kind]));
  return (Object.keys(DATA_CLASSES) as DataClassName[]).filter((name) => held.has(name));
}

/** Without user, password and database. */
function hostOf(address: string): string {
  return new URL(address).host;
}

function placeOfArchive(archive: string): string {
  const { protocol, host, pathname, searchParams } = new URL(archive);
  if (protocol === 'file:') return pathname;
  return `${host}${pathname} (${searchParams.get('region') ?? 'us-east-1'})`;
}
