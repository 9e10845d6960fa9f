import { at, children, isNoChild, nameOf, ofKind, type CatalogBreach, type CatalogRule } from './catalog-rule.ts';
import { ABSENCE_RIGHTS, MOVER, MOVING } from './catalog-movers.ts';
import type { CatalogRelation, CatalogSnapshot, Privilege } from './catalog-snapshot.ts';

const OWNER = 'tenon_owner';
/** What removes an erased person: a role that nobody logs in as, and that owns the functions which do it. */
const ERASER = 'tenon_eraser';
const ERASING = /^tenon\.erase_\w+\([^)]*\)$/;
/** What the application steps down to while an operator acts whom a tenant let in. */
const SUPPORT = 'tenon_support';
/** Roles that others act as, or whose functions they call; nobody logs in as one. */
const SERVANTS: ReadonlySet<string> = new Set([ERASER, MOVER, SUPPORT]);
/** What the owner and the application may become: the one hands functions over, the other steps down. */
const BECOMING: ReadonlySet<string> = new Set([`${OWNER} ${ERASER}`, `${OWNER} ${MOVER}`, `tenon_app ${SUPPORT}`]);
/** The roles that act while the platform runs. */
const RUNTIME_ROLES: ReadonlySet<string> = new Set(['tenon_app', 'tenon_worker', 'tenon_eraser', SUPPORT, MOVER]);
const CONTEXT_KEYS = 'tenon.context_keys';
/** Names and checksums of files, no tenant's data: the worker shows them as evidence of change. */
const MIGRATIONS_READER = 'tenon.migrations: tenon_worker (SELECT)';
/** Whose store the database is: asked by every connection before it is used. */
const STAMP_READERS = ['tenon_app', 'tenon_worker'].map((role) => `tenon.store: ${role} (SELECT)`);
/** One number of the whole database, which every announced change counts up by one and by nothing else. */
const CHANGE_COUNTER = [
  'tenon_app (SELECT)',
  'tenon_app (UPDATE)',
  'tenon_worker (SELECT)',
  'tenon_worker (UPDATE)',
  'tenon_eraser (SELECT)',
  'tenon_eraser (UPDATE)',
].map((right) => `tenon.change_counter: ${right}`);
/** The worker takes, ends and unlocks what waits in the queue; nobody else reaches it but by tenon.add_job(). */
const JOB_QUEUE = Object.entries({
  migrations: ['SELECT'],
  _private_jobs: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  _private_job_queues: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  _private_tasks: ['SELECT', 'INSERT'],
  _private_known_crontabs: ['SELECT', 'INSERT', 'UPDATE'],
}).flatMap(([table, rights]) => rights.map((right) => `graphile_worker.${table}: tenon_worker (${right})`));
const OPEN_OUTSIDE_APP: ReadonlySet<string> = new Set([
  MIGRATIONS_READER,
  ...STAMP_READERS,
  ...CHANGE_COUNTER,
  ...JOB_QUEUE,
  ...ABSENCE_RIGHTS,
]);
/** TRUNCATE ignores row security; the others touch rows or locks of all tenants, or let a table run foreign code. */
const DANGEROUS_ON_TABLES: ReadonlySet<string> = new Set(['TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN']);
/** A role (`*` is every one) and a setting that decides who asks, what a name means, or whether keys are checked. */
const LOOSE_SETTING = /^\S+ (?:app\.|row_security|search_path|session_replication_role|role=|session_authorization)/;
const SEARCH_PATH = '* search_path=app, pg_catalog';
/** The schemas of the platform. */
const SCHEMAS: ReadonlySet<string> = new Set(['app', 'tenon']);

/** Rules on what the roles of the platform may do, are and own. */
export const RIGHT_RULES: readonly CatalogRule[] = [
  {
    name: 'child-privileges',
    requirement: 'Programs and PUBLIC reach partitions and inheritance children through their parents alone.',
    breaches: (catalog) =>
      children(catalog).flatMap((table) =>
        runtimeGrants(table).map((right) => at(table, `is a child that ${right} can reach past its parent.`)),
      ),
  },
  {
    name: 'table-privileges',
    requirement: 'Programs hold no TRUNCATE, REFERENCES, TRIGGER, MAINTAIN or grantable right, and PUBLIC holds none.',
    breaches: (catalog) =>
      catalog.relations
        .filter((relation) => relation.schema === 'app' && relation.kind !== 'sequence' && isNoChild(relation))
        .flatMap(tablePrivilegeBreaches),
  },
  {
    name: 'sequences',
    requirement: 'Programs hold no right on a sequence, whose value counts the rows of all tenants.',
    breaches: (catalog) =>
      ofKind(catalog, 'sequence').flatMap((sequence) =>
        runtimeGrants(sequence).map((right) => at(sequence, `tells ${right} how much all tenants write.`)),
      ),
  },
  {
    name: 'outside-app',
    requirement:
      'Programs and PUBLIC hold no right on a table or view outside schema app; they read whose store it is, the worker reads the migrations and works off the job queue, and who changes what is announced counts it.',
    breaches: (catalog) =>
      catalog.relations
        .filter(
          (relation) => relation.schema !== 'app' && relation.kind !== 'sequence' && nameOf(relation) !== CONTEXT_KEYS,
        )
        .flatMap((relation) =>
          runtimeGrants(relation)
            .filter((right) => !OPEN_OUTSIDE_APP.has(`${nameOf(relation)}: ${right}`))
            .map((right) => at(relation, `is open to ${right}, unwalled.`)),
        ),
  },
  {
    name: 'context-keys',
    requirement: 'Nobody but the owner holds a right on tenon.context_keys.',
    breaches: (catalog) =>
      catalog.relations
        .filter((relation) => nameOf(relation) === CONTEXT_KEYS)
        .flatMap((table) =>
          rightsOn(table)
            .filter(({ grantee }) => grantee !== OWNER)
            .map((right) => at(table, `gives ${describe(right)}, so a tenant context can be forged or stopped.`)),
        ),
  },
  {
    name: 'database-privileges',
    requirement: 'Programs and PUBLIC make no schema and no temporary table, which would shadow a real one.',
    breaches: ({ database }) =>
      database.privileges
        .filter((right) => isRuntime(right) && right.privilege !== 'CONNECT')
        .map((right) => ({ object: right.grantee, sentence: `${describe(right)} on the database.` })),
  },
  {
    name: 'schema-privileges',
    requirement: 'Programs and PUBLIC make nothing in any schema.',
    breaches: ({ schemas }) =>
      schemas.flatMap(({ name, privileges }) =>
        privileges
          .filter((right) => isRuntime(right) && right.privilege !== 'USAGE')
          .map((right) => ({ object: name, sentence: `The schema ${name} gives ${describe(right)}.` })),
      ),
  },
  {
    name: 'function-privileges',
    requirement: 'PUBLIC may call no function of the platform, and nobody may hand the right on.',
    breaches: ({ functions }) =>
      functions
        .filter(({ schema }) => SCHEMAS.has(schema))
        .flatMap((called) =>
          called.privileges
            .filter(({ grantee, grantable }) => grantee === 'PUBLIC' || (grantable && grantee !== OWNER))
            .map((right) => ({ object: nameOf(called), sentence: `${nameOf(called)} gives ${describe(right)}.` })),
        ),
  },
  {
    name: 'settings',
    requirement: 'No database or role brings a tenant context, another search path or looser checks into a session.',
    breaches: ({ database }) =>
      database.settings
        .filter((setting) => LOOSE_SETTING.test(setting) && setting !== SEARCH_PATH)
        .map((setting) => ({ object: setting, sentence: `Every session begins with ${setting}.` })),
  },
  {
    name: 'roles',
    requirement: 'The owner and the roles of programs are bound by row-level security and make no roles or databases.',
    breaches: ({ roles }) =>
      roles.flatMap((role) => [
        ...roleBreach(role.superuser, role.name, 'is a superuser, whom no row-level security binds.'),
        ...roleBreach(role.bypassRowSecurity, role.name, 'may bypass row-level security.'),
        ...roleBreach(role.createRole, role.name, 'may make roles.'),
        ...roleBreach(role.createDatabase, role.name, 'may make databases, copies of this one among them.'),
        ...roleBreach(role.replication && role.name !== MOVER, role.name, 'may replicate the rows of all tenants.'),
        ...roleBreach(SERVANTS.has(role.name) && role.login, role.name, 'may log in.'),
      ]),
  },
  {
    name: 'memberships',
    requirement:
      'No role of the platform is a member of another role, so that SET ROLE leads nowhere; the owner hands functions to tenon_eraser and tenon_mover, and the application steps down to tenon_support.',
    breaches: ({ roles }) =>
      roles.flatMap(({ name, memberOf }) =>
        memberOf
          .filter((group) => !BECOMING.has(`${name} ${group}`))
          .map((group) => ({ object: name, sentence: `${name} is a member of ${group}.` })),
      ),
  },
  {
    name: 'possessions',
    requirement:
      'The roles of programs own nothing, for an owner changes the rules of what is hers; tenon_eraser owns what erases, tenon_mover what moves.',
    breaches: ({ roles }) =>
      roles.flatMap(({ name, owns }) =>
        (owns ?? [])
          .filter((thing) => !isOwn(name, thing.replace(/^function /, '')))
          .map((thing) => ({ object: name, sentence: `${name} owns the ${thing}.` })),
      ),
  },
  {
    name: 'owners',
    requirement:
      'Every schema, table, view and function of the platform belongs to tenon_owner, but for those that erase a person or move a tenant.',
    breaches: (catalog) =>
      ownedThings(catalog)
        .filter(({ object, owner }) => owner !== OWNER && !isOwn(owner, object))
        .map(({ object, owner }) => ({ object, sentence: `${object} belongs to ${owner}.` })),
  },
];

/** Functions that a role owns because they run with its rights. */
function isOwn(role: string, object: string): boolean {
  return (role === ERASER && ERASING.test(object)) || (role === MOVER && isMoving(object));
}

/** The names of arguments are left out where the catalog describes what a role owns. */
function isMoving(object: string): boolean {
  return [...MOVING].some((moving) => moving.split('(')[0] === object.split('(')[0]);
}

function tablePrivilegeBreaches(relation: CatalogRelation): CatalogBreach[] {
  return rightsOn(relation)
    .filter((right) => isRuntime(right))
    .filter(
      ({ grantee, privilege, grantable }) => grantee === 'PUBLIC' || grantable || DANGEROUS_ON_TABLES.has(privilege),
    )
    .map((right) => at(relation, `gives ${describe(right)}.`));
}

function ownedThings(catalog: CatalogSnapshot): { object: string; owner: string }[] {
  return [
    ...catalog.schemas.filter(({ name }) => SCHEMAS.has(name)).map(({ name, owner }) => ({ object: name, owner })),
    ...[...catalog.relations, ...catalog.functions]
      .filter(({ schema }) => SCHEMAS.has(schema))
      .map((thing) => ({ object: nameOf(thing), owner: thing.owner })),
  ];
}

/** Rights on a relation as a whole and on its columns. */
function rightsOn(relation: CatalogRelation): Privilege[] {
  return [...relation.privileges, ...relation.columns.flatMap(({ privileges }) => privileges)];
}

function runtimeGrants(relation: CatalogRelation): string[] {
  return rightsOn(relation).filter(isRuntime).map(describe);
}

function isRuntime({ grantee }: Privilege): boolean {
  return grantee === 'PUBLIC' || RUNTIME_ROLES.has(grantee);
}

function describe({ grantee, privilege, grantable }: Privilege): string {
  return `${grantee} (${privilege}${grantable ? ' with grant option' : ''})`;
}

function roleBreach(broken: boolean, name: string, what: string): CatalogBreach[] {
  return broken ? [{ object: name, sentence: `${name} ${what}` }] : [];
}
