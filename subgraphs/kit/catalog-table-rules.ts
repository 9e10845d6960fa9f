import { at, breach, children, isNoChild, ofKind, type CatalogBreach, type CatalogRule } from './catalog-rule.ts';
import { MOVER, MOVING, MOVING_AS_OWNER } from './catalog-movers.ts';
import type { CatalogConstraint, CatalogPolicy, CatalogRelation, CatalogSnapshot } from './catalog-snapshot.ts';

/**
 * Tables in which the worker acts for all tenants in one statement: it drains the outbox, appends to every tenant's log,
 * builds every tenant's packs and sends what every tenant's receivers are owed. Their wall stands before the application
 * and the owner only.
 */
export const WORKER_TABLES: readonly string[] = [
  'outbox',
  'sequenced_events',
  'log_heads',
  'log_entries',
  'log_tiles',
  'log_refusals',
  'log_search_blocks',
  'log_search_words',
  'log_displaced',
  'segments',
  'evidence_packs',
  'evidence_chunks',
  'log_index_tokens',
  'log_token_gaps',
  'erasures',
  'platform_events',
  'platform_log',
  'platform_ticks',
  'platform_entries',
  'platform_tiles',
  'platform_heads',
  'platform_anchors',
  'anchor_sources',
  'key_rotations',
  'mutation_hours',
  'mutation_totals',
  'missing_events',
  'log_alarms',
  'mutation_notes',
  'security_event_receivers',
  'security_event_deliveries',
  'audit_streams',
  'archive_retention',
  'archive_objects',
  'archive_scans',
  'jobs',
  'privacy_requests',
];

/** Tables that the worker reads for all tenants in one statement, to do what they decide, and changes for none. */
export const WORKER_READ_TABLES: readonly string[] = ['retention_policies', 'legal_holds'];

/**
 * Tables of the cell in which the worker changes rows of one tenant at a time, under her context: before it stands the same
 * whole wall as before the application.
 */
export const WORKER_TENANT_TABLES: readonly string[] = [
  'identity_connections',
  'domain_proofs',
  'sign_in_flows',
  'used_assertions',
  'spent_challenges',
  'pending_sign_ins',
  'authorization_codes',
  'refresh_tokens',
  'sign_in_attempts',
  'tenant_keys',
  'subject_keys',
  'revocations',
  'tenants',
  'tenant_contracts',
  'tenant_notices',
];

/**
 * The first reads the keys that the application must not see; what it returns is the tenant that a signature names. The
 * second writes into the job queue, where programs may not: a row of the tenant that the first names, and nothing else.
 */
const SECURITY_DEFINERS: ReadonlySet<string> = new Set([
  'tenon.tenant_id()',
  'tenon.add_job(job uuid, kind text, token text)',
  ...MOVING_AS_OWNER,
]);
/** The queue's own tables hold who, which and a token; the worker takes from them for all tenants, others never. */
const QUEUE_POLICY = { schema: 'graphile_worker', name: 'worker_access', roles: 'tenon_worker' };
/** What removes an erased person, or an ended tenant, runs with the rights of this role, as whom nobody logs in. */
const ERASER = 'tenon_eraser';
/** They take a person; two are for a tenant who has ended. Whose rows it is about they take from the context. */
const ERASERS =
  /^tenon\.(?:erase_\w+\(person uuid\)|erase_tenant_rows\(target text, at_most integer\)|erase_tenant_facts\(\))$/;
/** In a scalar subselect, which PostgreSQL runs once a statement instead of once a row. */
const WALL = '(tenant_id = ( SELECT tenon.tenant_id() AS tenant_id))';

/** Rows of tenants that live elsewhere are nobody's work here. */
const PRESENT = '(tenant_id <> ALL (( SELECT tenon.absent() AS absent)::uuid[]))';
const WORKER_WALL = `(((( SELECT tenon.tenant_id() AS tenant_id) IS NULL) AND ${PRESENT}) OR ${WALL})`;

/** Rules on what stands between a tenant and the rows of another: tables, keys, policies, views and functions. */
export const TABLE_RULES: readonly CatalogRule[] = [
  {
    name: 'row-security',
    requirement: 'Every table in schema app has row-level security enabled.',
    breaches: (catalog) =>
      openTables(catalog).flatMap((table) =>
        breach(!table.rowSecurity, table, 'has no row-level security: every tenant sees all of its rows.'),
      ),
  },
  {
    name: 'forced-row-security',
    requirement: 'Every table in schema app forces row-level security, so that it binds the owner too.',
    breaches: (catalog) =>
      openTables(catalog).flatMap((table) =>
        breach(!table.rowSecurityForced, table, 'does not force row-level security: its owner sees every tenant.'),
      ),
  },
  {
    name: 'tenant-column',
    requirement: 'Every table in schema app has a column tenant_id uuid, not null, that fills itself from the context.',
    breaches: (catalog) => tenantTables(catalog).flatMap(tenantColumnBreaches),
  },
  {
    name: 'keys',
    requirement: 'Every primary key, unique or exclusion constraint and unique index starts with tenant_id.',
    breaches: (catalog) => tenantTables(catalog).flatMap(keyBreaches),
  },
  {
    name: 'foreign-keys',
    requirement: 'Every foreign key starts with tenant_id and maps it to the tenant_id of the other table.',
    breaches: (catalog) =>
      tenantTables(catalog).flatMap((table) =>
        table.constraints
          .filter((constraint) => constraint.kind === 'foreign key' && !keepsTenant(constraint))
          .map(({ name }) => at(table, `has the foreign key ${name}, which can lead to another tenant's row.`)),
      ),
  },
  {
    name: 'tenant-isolation',
    requirement:
      'Every table in schema app has the restrictive policy tenant_isolation for all commands and its roles.',
    breaches: (catalog) =>
      openTables(catalog).flatMap((table) =>
        breach(!table.policies.some((policy) => isWall(policy, table)), table, 'has no whole policy tenant_isolation.'),
      ),
  },
  {
    name: 'worker-isolation',
    requirement: "Every table that the worker reaches for all tenants walls it in under a tenant's context.",
    breaches: (catalog) =>
      openTables(catalog)
        .filter(({ name }) => isOpenToWorker(name))
        .flatMap((table) => breach(!table.policies.some(isWorkerWall), table, 'has no whole policy worker_isolation.')),
  },
  {
    name: 'worker-rights',
    requirement: 'The worker changes no table but those that it reaches for all tenants or keeps for one at a time.',
    breaches: (catalog) =>
      openTables(catalog)
        .filter(({ name }) => !WORKER_TABLES.includes(name) && !WORKER_TENANT_TABLES.includes(name))
        .flatMap((table) => breach(isChangedByWorker(table), table, 'can be changed by tenon_worker.')),
  },
  {
    name: 'permissive-policies',
    requirement: 'No table has a permissive policy beside tenant_access, and worker_access in the job queue.',
    breaches: (catalog) =>
      catalog.relations.flatMap((table) =>
        table.policies
          .filter((policy) => policy.permissive && policy.name !== 'tenant_access' && !isQueuePolicy(table, policy))
          .map(({ name }) => at(table, `has the permissive policy ${name}, which opens rows beside tenant_access.`)),
      ),
  },
  {
    name: 'policy-functions',
    requirement: 'No policy calls a volatile function, which would run once a row and could act.',
    breaches: (catalog) =>
      catalog.relations.flatMap((table) =>
        table.policies.flatMap((policy) =>
          policy.functions
            .filter(({ volatility }) => volatility === 'volatile')
            .map((called) => at(table, `has the policy ${policy.name}, which calls the volatile ${called.name}.`)),
        ),
      ),
  },
  {
    name: 'children',
    requirement: 'Every partition and inheritance child has row-level security, enabled and forced.',
    breaches: (catalog) =>
      children(catalog).flatMap((table) =>
        breach(!isWalled(table), table, 'is a child without row-level security of its own, enabled and forced.'),
      ),
  },
  {
    name: 'views',
    requirement: 'Every view runs with the rights of its reader (security_invoker).',
    breaches: (catalog) =>
      ofKind(catalog, 'view').flatMap((view) =>
        breach(!view.options.some(isInvokerOption), view, 'shows what its owner may see.'),
      ),
  },
  {
    name: 'materialized-views',
    requirement: 'There is no materialized view: none can have row-level security.',
    breaches: (catalog) =>
      ofKind(catalog, 'materialized view').map((view) => at(view, 'holds rows without row-level security.')),
  },
  {
    name: 'security-definers',
    requirement:
      'The only functions with rights beyond those of their callers are tenon.tenant_id(), tenon.add_job(), those that erase and those that move a tenant.',
    breaches: (catalog) =>
      definers(catalog)
        .filter((definer) => !isKnownDefiner(definer.object))
        .map(({ object }) => ({ object, sentence: `${object} runs with the rights of its owner.` })),
  },
  {
    name: 'erasers',
    requirement: 'Every function that erases belongs to tenon_eraser and is called by tenon_worker alone.',
    breaches: (catalog) => definers(catalog).filter(isEraser).flatMap(servantBreaches(ERASER)),
  },
  {
    name: 'movers',
    requirement: 'Every function that moves a tenant belongs to tenon_mover and is called by tenon_worker alone.',
    breaches: (catalog) =>
      definers(catalog)
        .filter(({ object }) => MOVING.has(object))
        .flatMap(servantBreaches(MOVER)),
  },
  {
    name: 'definer-search-path',
    requirement: 'Every SECURITY DEFINER function has a fixed search path.',
    breaches: (catalog) =>
      definers(catalog)
        .filter(({ settings }) => !settings.some((setting) => setting.startsWith('search_path=')))
        .map(({ object }) => ({ object, sentence: `${object} takes names from the search path of its caller.` })),
  },
];

function tenantColumnBreaches(table: CatalogRelation): CatalogBreach[] {
  const column = table.columns.find(({ name }) => name === 'tenant_id');
  if (column?.type !== 'uuid') return [at(table, 'has no column tenant_id of type uuid.')];
  return [
    ...breach(column.nullable, table, 'lets tenant_id be null, a row that belongs to nobody.'),
    ...breach(column.default !== 'tenon.tenant_id()', table, 'does not fill tenant_id from the tenant context.'),
  ];
}

function keyBreaches(table: CatalogRelation): CatalogBreach[] {
  const keys = [
    ...table.constraints.filter(({ kind }) => kind === 'primary key' || kind === 'unique' || kind === 'exclusion'),
    ...table.indexes.filter(({ unique, constraint }) => unique && !constraint),
  ];
  return keys
    .filter(({ columns }) => columns[0] !== 'tenant_id')
    .map(({ name }) => at(table, `has the key ${name}, whose collisions tell of other tenants' rows.`));
}

function keepsTenant({ columns, references }: CatalogConstraint): boolean {
  return columns[0] === 'tenant_id' && references?.columns[0] === 'tenant_id';
}

function isOpenToWorker(name: string): boolean {
  return WORKER_TABLES.includes(name) || WORKER_READ_TABLES.includes(name);
}

function isWall(policy: CatalogPolicy, table: CatalogRelation): boolean {
  const roles = isOpenToWorker(table.name) ? 'tenon_app,tenon_eraser,tenon_mover,tenon_owner,tenon_support' : 'PUBLIC';
  const { name, permissive, command, using, check } = policy;
  const shape = name === 'tenant_isolation' && !permissive && command === 'ALL';
  return shape && policy.roles.join() === roles && using === WALL && check === WALL;
}

function isWorkerWall({ name, permissive, command, roles, using, check }: CatalogPolicy): boolean {
  const shape = name === 'worker_isolation' && !permissive && command === 'ALL' && roles.join() === 'tenon_worker';
  return shape && using === WORKER_WALL && check === WORKER_WALL;
}

function isQueuePolicy({ schema }: CatalogRelation, { name, roles }: CatalogPolicy): boolean {
  return schema === QUEUE_POLICY.schema && name === QUEUE_POLICY.name && roles.join() === QUEUE_POLICY.roles;
}

function isChangedByWorker({ privileges, columns }: CatalogRelation): boolean {
  return [privileges, ...columns.map((column) => column.privileges)]
    .flat()
    .some(({ grantee, privilege }) => grantee === 'tenon_worker' && /^(?:INSERT|UPDATE|DELETE)$/.test(privilege));
}

/** Tables in schema app, also those that are children of others. */
function tenantTables(catalog: CatalogSnapshot): CatalogRelation[] {
  return catalog.relations.filter(
    ({ schema, kind }) =>
      schema === 'app' && (kind === 'table' || kind === 'partitioned table' || kind === 'foreign table'),
  );
}

/** Tables whose rows are reached by their own name: no right leads to a child but through its parent's policies. */
function openTables(catalog: CatalogSnapshot): CatalogRelation[] {
  return tenantTables(catalog).filter(isNoChild);
}

interface Definer {
  readonly object: string;
  readonly owner: string;
  readonly settings: readonly string[];
  readonly callers: readonly string[];
}

function definers(catalog: CatalogSnapshot): Definer[] {
  return catalog.functions
    .filter(({ securityDefiner }) => securityDefiner)
    .map(({ schema, name, owner, settings, privileges }) => ({
      object: `${schema}.${name}`,
      owner,
      settings,
      callers: privileges.map(({ grantee }) => grantee),
    }));
}

/** Of a role whose functions the worker alone calls. */
function servantBreaches(role: string): (definer: Definer) => CatalogBreach[] {
  return ({ object, owner, callers }) => {
    const strangers = callers.filter((caller) => caller !== owner && caller !== 'tenon_worker');
    const breaches = strangers.map((caller) => ({ object, sentence: `${object} can be called by ${caller}.` }));
    if (owner !== role) breaches.push({ object, sentence: `${object} runs with the rights of ${owner}.` });
    return breaches;
  };
}

/** Whether a function, as `schema.name(arguments)`, is one of those that run with rights beyond their caller's. */
export function isKnownDefiner(object: string): boolean {
  return SECURITY_DEFINERS.has(object) || MOVING.has(object) || isEraser({ object });
}

function isEraser({ object }: Pick<Definer, 'object'>): boolean {
  return ERASERS.test(object);
}

function isWalled(table: CatalogRelation): boolean {
  return table.rowSecurity && table.rowSecurityForced;
}

/** The option is stored as it was written. */
function isInvokerOption(option: string): boolean {
  return /^security_invoker=(?:t|true|on|y|yes|1)$/i.test(option);
}
