import objectHash from 'object-hash';
import type pg from 'pg';
import { schemaNumber } from '#schema/tenant-store.ts';
import { scopeOf } from './store-scope.ts';

/** One right on an object; `PUBLIC` is everybody. */
export interface Privilege {
  readonly grantee: string;
  readonly privilege: string;
  readonly grantable: boolean;
}

/** A column of a relation; `default` is its expression, also of a generated column. */
export interface CatalogColumn {
  readonly name: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly default: string | null;
  readonly generated: boolean;
  /** Rights on this column alone. */
  readonly privileges: readonly Privilege[];
}

/** A constraint of a table; a foreign key's `columns` map to `references.columns` one by one. */
export interface CatalogConstraint {
  readonly name: string;
  readonly kind: 'primary key' | 'unique' | 'exclusion' | 'foreign key' | 'check';
  readonly columns: readonly string[];
  readonly references: { readonly table: string; readonly columns: readonly string[] } | null;
  readonly definition: string;
}

/** An index; an expression among its key columns is null. */
export interface CatalogIndex {
  readonly name: string;
  readonly unique: boolean;
  /** It stands behind a constraint, which is listed itself. */
  readonly constraint: boolean;
  readonly columns: readonly (string | null)[];
  readonly definition: string;
}

/** A row-level security policy with every function that its expressions call. */
export interface CatalogPolicy {
  readonly name: string;
  readonly permissive: boolean;
  readonly command: 'ALL' | 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';
  readonly roles: readonly string[];
  readonly using: string | null;
  readonly check: string | null;
  readonly functions: readonly { readonly name: string; readonly volatility: Volatility }[];
}

/** What a function promises of its result. */
export type Volatility = 'immutable' | 'stable' | 'volatile';

/** A table, view or sequence. */
export interface CatalogRelation {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'partitioned table' | 'view' | 'materialized view' | 'foreign table' | 'sequence';
  readonly owner: string;
  readonly rowSecurity: boolean;
  readonly rowSecurityForced: boolean;
  /** Storage parameters such as `security_invoker=true`. */
  readonly options: readonly string[];
  /** Tables that it is a partition or inheritance child of. */
  readonly parents: readonly string[];
  readonly columns: readonly CatalogColumn[];
  readonly constraints: readonly CatalogConstraint[];
  readonly indexes: readonly CatalogIndex[];
  readonly policies: readonly CatalogPolicy[];
  readonly triggers: readonly string[];
  readonly privileges: readonly Privilege[];
}

/** A function or procedure; its body stands here by its SHA-256. */
export interface CatalogFunction {
  readonly schema: string;
  /** Name with the types of its arguments. */
  readonly name: string;
  readonly kind: 'function' | 'procedure' | 'aggregate' | 'window';
  readonly owner: string;
  readonly language: string;
  readonly securityDefiner: boolean;
  readonly volatility: Volatility;
  readonly settings: readonly string[];
  readonly bodySha256: string;
  readonly privileges: readonly Privilege[];
}

/** One of the roles of schema/sql/roles.sql. */
export interface CatalogRole {
  readonly name: string;
  readonly login: boolean;
  readonly superuser: boolean;
  readonly bypassRowSecurity: boolean;
  readonly createRole: boolean;
  readonly createDatabase: boolean;
  readonly replication: boolean;
  readonly memberOf: readonly string[];
  /** Objects of this database and of the server that it owns; null for `tenon_owner`, who owns what is listed here. */
  readonly owns: readonly string[] | null;
}

/** All that decides who may see which row of a database, as plain JSON without its name, times or counts. */
export interface CatalogSnapshot {
  readonly database: {
    readonly owner: string;
    readonly settings: readonly string[];
    readonly privileges: readonly Privilege[];
  };
  readonly roles: readonly CatalogRole[];
  readonly schemas: readonly {
    readonly name: string;
    readonly owner: string;
    readonly privileges: readonly Privilege[];
  }[];
  readonly relations: readonly CatalogRelation[];
  readonly functions: readonly CatalogFunction[];
}

/**
 * Reads the catalog of a tenant or audit database in a read-only transaction of its own; any role may. Lists are sorted
 * by byte order, so two databases that were migrated alike give the same snapshot.
 */
export async function snapshotCatalog(client: pg.ClientBase): Promise<CatalogSnapshot> {
  await client.query('begin transaction isolation level repeatable read read only');
  try {
    return await readCatalog(client);
  } finally {
    await client.query('rollback');
  }
}

/** Like `snapshotCatalog`, in the caller's transaction, whose search path is `pg_catalog` from then on. */
export async function readCatalog(client: pg.ClientBase): Promise<CatalogSnapshot> {
  // Expressions are printed with the schema of every name that the path does not reach.
  await client.query('set local search_path = pg_catalog');
  const [database] = (await client.query<CatalogSnapshot['database']>(DATABASE)).rows;
  const number = schemaNumber(scopeOf(client));
  const own = (text: string) =>
    number === null ? text : text.replaceAll(OURS, () => `${OURS} and ${schemasOf(number)}`);
  const { rows: roles } = await client.query<CatalogRole>(ROLES);
  const { rows: schemas } = await client.query<CatalogSnapshot['schemas'][number]>(own(SCHEMAS));
  const { rows: relations } = await client.query<CatalogRelation>(own(RELATIONS));
  const { rows: functions } = await client.query<CatalogFunction>(own(FUNCTIONS));
  if (database === undefined) throw new Error('the database is not in its own catalog');
  const catalog = { database, roles, schemas, relations, functions };
  return number === null ? catalog : withoutNumbers(catalog, number);
}

/** Those of one store of a bridge, and those of nobody. */
const schemasOf = (number: string) => `n.nspname !~ '_(?!${number}$)[0-9]+$'`;

/** A store of a bridge as if it had the database to itself, so that it is judged by the same rules as any other. */
function withoutNumbers(catalog: CatalogSnapshot, number: string): CatalogSnapshot {
  const text = JSON.stringify(catalog).replaceAll(new RegExp(`(?<=\\b${NAMES})_${number}\\b`, 'g'), '');
  const others = new RegExp(`\\b${NAMES}_\\d+\\b`);
  return JSON.parse(text, (_key, value: unknown) =>
    Array.isArray(value) ? value.filter((item) => !(typeof item === 'string' && others.test(item))) : value,
  ) as CatalogSnapshot;
}

const NAMES = '(?:app|tenon|graphile_worker)';

/** Returns the SHA-256 of a snapshot in hex: equal for databases in which the same roles may do the same. */
export function catalogFingerprint(catalog: CatalogSnapshot): string {
  return objectHash(catalog, { algorithm: 'sha256', respectType: false });
}

const OURS = `n.nspname <> 'information_schema' and n.nspname !~ '^pg_'`;

/** A list of texts in byte order; never null. */
const texts = (expression: string, from: string) =>
  `(select coalesce(jsonb_agg(x order by x collate "C"), '[]')
      from (select (${expression})::text as x from ${from}) s)`;

/** A list of objects in the order of a text; never null. */
const objects = (fields: string, by: string, from: string) =>
  `(select coalesce(jsonb_agg(jsonb_build_object(${fields}) order by (${by})::text collate "C"), '[]') from ${from})`;

/** Rights in an access control list, where none means those of `kind` that PostgreSQL gives a new object. */
const privileges = (acl: string, kind?: { type: string; owner: string }) =>
  objects(
    `'grantee', grantee, 'privilege', privilege, 'grantable', grantable`,
    `grantee || ' ' || privilege || ' ' || grantable`,
    `(select distinct coalesce(r.rolname, 'PUBLIC')::text as grantee, a.privilege_type as privilege,
             a.is_grantable as grantable
        from aclexplode(${kind === undefined ? acl : `coalesce(${acl}, acldefault('${kind.type}', ${kind.owner}))`}) a
        left join pg_roles r on r.oid = a.grantee) p`,
  );

/** Names of columns in the order of their numbers; null stands for an expression. */
const columnNames = (table: string, numbers: string) =>
  `(select coalesce(jsonb_agg(named.attname order by key.place), '[]')
      from unnest(${numbers}) with ordinality key(number, place)
      left join pg_attribute named on named.attrelid = ${table} and named.attnum = key.number and key.number > 0)`;

const volatility = (column: string) =>
  `case ${column} when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end`;

const DATABASE = `
  select pg_get_userbyid(d.datdba) as owner,
         ${texts(
           `coalesce(r.rolname, '*') || ' ' || setting`,
           `pg_db_role_setting s left join pg_roles r on r.oid = s.setrole
           cross join unnest(s.setconfig) as setting where s.setdatabase in (0, d.oid)`,
         )} as settings,
         ${privileges('d.datacl', { type: 'd', owner: 'd.datdba' })} as privileges
    from pg_database d where d.datname = current_database()`;

const ROLES = `
  select r.rolname as name, r.rolcanlogin as login, r.rolsuper as superuser, r.rolbypassrls as "bypassRowSecurity",
         r.rolcreaterole as "createRole", r.rolcreatedb as "createDatabase", r.rolreplication as replication,
         ${texts('pg_get_userbyid(m.roleid)', 'pg_auth_members m where m.member = r.oid')} as "memberOf",
         case when r.rolname <> 'tenon_owner' then
           ${texts(
             'pg_describe_object(d.classid, d.objid, d.objsubid)',
             `pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.deptype = 'o'
                and d.dbid in (0, (select oid from pg_database where datname = current_database()))`,
           )} end as owns
    from pg_roles r where r.rolname in ('tenon_owner', 'tenon_app', 'tenon_worker', 'tenon_eraser', 'tenon_support', 'tenon_mover')
   order by r.rolname::text collate "C"`;

const SCHEMAS = `
  select n.nspname as name, pg_get_userbyid(n.nspowner) as owner,
         ${privileges('n.nspacl', { type: 'n', owner: 'n.nspowner' })} as privileges
    from pg_namespace n where ${OURS} order by n.nspname::text collate "C"`;

const COLUMNS = objects(
  `'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'nullable', not a.attnotnull,
   'default', pg_get_expr(d.adbin, d.adrelid), 'generated', a.attgenerated <> '' or a.attidentity <> '',
   'privileges', ${privileges('a.attacl')}`,
  'a.attname',
  `pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and c.relkind <> 'S'`,
);

const CONSTRAINTS = objects(
  `'name', k.conname,
   'kind', case k.contype when 'p' then 'primary key' when 'u' then 'unique' when 'x' then 'exclusion'
     when 'f' then 'foreign key' else 'check' end,
   'columns', ${columnNames('k.conrelid', 'k.conkey')}, 'definition', pg_get_constraintdef(k.oid),
   'references', case when k.contype = 'f' then jsonb_build_object(
     'table', (select fn.nspname || '.' || f.relname from pg_class f
       join pg_namespace fn on fn.oid = f.relnamespace where f.oid = k.confrelid),
     'columns', ${columnNames('k.confrelid', 'k.confkey')}) end`,
  'k.conname',
  `pg_constraint k where k.conrelid = c.oid and k.contype in ('p', 'u', 'x', 'f', 'c')`,
);

const INDEXES = objects(
  `'name', ic.relname, 'unique', i.indisunique, 'definition', pg_get_indexdef(i.indexrelid),
   'constraint', exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')),
   'columns', ${columnNames('i.indrelid', '(i.indkey::int2[])[0:i.indnkeyatts - 1]')}`,
  'ic.relname',
  'pg_index i join pg_class ic on ic.oid = i.indexrelid where i.indrelid = c.oid',
);

/** The stored tree names every function by its number, also built-in ones, which pg_depend leaves out. */
const POLICIES = objects(
  `'name', p.polname, 'permissive', p.polpermissive,
   'command', case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE'
     else 'ALL' end,
   'roles', ${texts(`case when role = 0 then 'PUBLIC' else pg_get_userbyid(role) end`, 'unnest(p.polroles) as role')},
   'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
   'functions', ${objects(
     `'name', name, 'volatility', volatility`,
     'name',
     `(select distinct f.oid::regprocedure::text as name, ${volatility('f.provolatile')} as volatility
         from regexp_matches(concat(p.polqual, ' ', p.polwithcheck),
              ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') m
         join pg_proc f on f.oid = m[1]::oid) f`,
   )}`,
  'p.polname',
  'pg_policy p where p.polrelid = c.oid',
);

const RELATIONS = `
  select n.nspname as schema, c.relname as name, pg_get_userbyid(c.relowner) as owner,
         case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
           when 'm' then 'materialized view' when 'f' then 'foreign table' else 'sequence' end as kind,
         c.relrowsecurity as "rowSecurity", c.relforcerowsecurity as "rowSecurityForced",
         ${texts('option', 'unnest(c.reloptions) as option')} as options,
         ${texts('h.inhparent::regclass', 'pg_inherits h where h.inhrelid = c.oid')} as parents,
         ${COLUMNS} as columns, ${CONSTRAINTS} as constraints, ${INDEXES} as indexes, ${POLICIES} as policies,
         ${texts('pg_get_triggerdef(t.oid)', 'pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal')}
           as triggers,
         (case when c.relkind = 'S' then ${privileges('c.relacl', { type: 's', owner: 'c.relowner' })}
           else ${privileges('c.relacl', { type: 'r', owner: 'c.relowner' })} end) as privileges
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and ${OURS}
   order by n.nspname::text collate "C", c.relname::text collate "C"`;

const FUNCTIONS = `
  select n.nspname as schema, f.proname || '(' || pg_get_function_identity_arguments(f.oid) || ')' as name,
         case f.prokind when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window'
           else 'function' end as kind,
         pg_get_userbyid(f.proowner) as owner, l.lanname as language, f.prosecdef as "securityDefiner",
         ${volatility('f.provolatile')} as volatility,
         ${texts('setting', 'unnest(f.proconfig) as setting')} as settings,
         encode(sha256(convert_to(coalesce(pg_get_function_sqlbody(f.oid), f.prosrc), 'UTF8')), 'hex') as "bodySha256",
         ${privileges('f.proacl', { type: 'f', owner: 'f.proowner' })} as privileges
    from pg_proc f join pg_namespace n on n.oid = f.pronamespace join pg_language l on l.oid = f.prolang
   where ${OURS}
   order by n.nspname::text collate "C", f.proname::text collate "C",
         pg_get_function_identity_arguments(f.oid) collate "C"`;
