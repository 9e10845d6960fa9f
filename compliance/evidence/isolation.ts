import { CATALOG_RULES, lintSnapshot } from '#kit/catalog-lint.ts';
import {
  catalogFingerprint,
  snapshotCatalog,
  type CatalogRelation,
  type CatalogSnapshot,
  type Privilege,
} from '#kit/catalog-snapshot.ts';
import type { Collection, CollectionScope, Collector, ControlException, ControlFinding } from './collector.ts';
import type { Row } from './table.ts';
import { withEvidenceClient } from './evidence-client.ts';

/** E1: whether the databases themselves keep tenants apart, read from their catalogs. */
export const isolation: Collector = {
  id: 'E1',
  title: 'Tenant isolation',
  criteria: ['CC6.1', 'CC6.6', 'C1.1'],
  collect,
};

interface JudgedCatalog {
  readonly database: 'cell' | 'audit';
  readonly catalog: CatalogSnapshot;
  readonly exceptions: readonly ControlException[];
  readonly faultyTables: ReadonlyMap<string, string>;
}

const TABLES = 'tenant-tables';
const ROLES = 'database-roles';

async function collect(scope: CollectionScope): Promise<Collection> {
  const catalogs = [
    judge('cell', await readSnapshot({ url: scope.cell.database, store: scope.cell.store })),
    judge('audit', await readSnapshot({ url: scope.cell.auditDatabase })),
  ];
  const tables = catalogs.flatMap(tableRows);
  const roles = catalogs.flatMap(roleRows);
  const populations = [
    await scope.write({
      name: TABLES,
      title: 'Tables that hold data of tenants, with what stands between one tenant and another',
      select: null,
      columns: ['database', 'table', 'owner', 'row_security', 'row_security_forced', 'policies', 'grants', 'fault'],
      rows: tables,
      query: TABLES_SQL,
      expected: () => catalogs.reduce((sum, { catalog }) => sum + appTables(catalog).length, 0),
    }),
    await scope.write({
      name: ROLES,
      title: 'Roles of the running program and of its owner',
      select: null,
      columns: [
        'database',
        'role',
        'login',
        'superuser',
        'bypass_row_security',
        'create_role',
        'create_database',
        'replication',
        'member_of',
      ],
      rows: roles,
      query: ROLES_SQL,
      expected: () => catalogs.reduce((sum, { catalog }) => sum + catalog.roles.length, 0),
    }),
  ];
  const exceptions = catalogs.flatMap((judged) => judged.exceptions);
  return { populations, controls: controlsOf(catalogs, exceptions) };
}

function controlsOf(catalogs: readonly JudgedCatalog[], exceptions: readonly ControlException[]): ControlFinding[] {
  const facts = {
    rules: CATALOG_RULES.length,
    catalog_sha256: Object.fromEntries(
      catalogs.map(({ database, catalog }) => [database, catalogFingerprint(catalog)]),
    ),
  };
  const test = `The catalogs of the cell's two databases were read and judged by ${CATALOG_RULES.length} rules; every table and role is listed.`;
  return (['CC6.1', 'CC6.6', 'C1.1'] as const).map((criterion) => ({
    criterion,
    test,
    populations: criterion === 'CC6.6' ? [ROLES, TABLES] : [TABLES],
    exceptions,
    untested: null,
    facts,
  }));
}

function readSnapshot(at: { readonly url: string; readonly store?: string | undefined }): Promise<CatalogSnapshot> {
  return withEvidenceClient(at, snapshotCatalog);
}

function judge(database: JudgedCatalog['database'], catalog: CatalogSnapshot): JudgedCatalog {
  const faults = lintSnapshot(catalog);
  return {
    database,
    catalog,
    exceptions: faults.map(({ rule, object, sentence }) => ({
      object: `${database}: ${object}`,
      sentence: `${rule}: ${sentence}`,
      seq: null,
    })),
    faultyTables: new Map(faults.map(({ object, sentence }) => [object, sentence])),
  };
}

function appTables({ relations }: CatalogSnapshot): CatalogRelation[] {
  return relations.filter(({ schema, kind }) => schema === 'app' && kind.endsWith('table'));
}

function tableRows({ database, catalog, faultyTables }: JudgedCatalog): Row[] {
  return appTables(catalog).map((table) => ({
    database,
    table: `${table.schema}.${table.name}`,
    owner: table.owner,
    row_security: table.rowSecurity,
    row_security_forced: table.rowSecurityForced,
    policies: table.policies.map((policy) => ({
      name: policy.name,
      permissive: policy.permissive,
      command: policy.command,
      roles: policy.roles,
      using: policy.using,
      check: policy.check,
    })),
    grants: grantsOf(table.privileges),
    fault: faultyTables.get(`${table.schema}.${table.name}`) ?? null,
  }));
}

/** Rights by role, without those that the owner has by owning. */
function grantsOf(privileges: readonly Privilege[]): Row {
  const grants: Record<string, string[]> = {};
  for (const { grantee, privilege } of privileges) {
    if (grantee !== 'tenon_owner') (grants[grantee] ??= []).push(privilege);
  }
  return grants;
}

function roleRows({ database, catalog }: JudgedCatalog): Row[] {
  return catalog.roles.map((role) => ({
    database,
    role: role.name,
    login: role.login,
    superuser: role.superuser,
    bypass_row_security: role.bypassRowSecurity,
    create_role: role.createRole,
    create_database: role.createDatabase,
    replication: role.replication,
    member_of: role.memberOf,
  }));
}

const TABLES_SQL = `-- In each of the two databases, as any role:
select n.nspname || '.' || c.relname as "table", pg_get_userbyid(c.relowner) as owner,
       c.relrowsecurity as row_security, c.relforcerowsecurity as row_security_forced, c.relacl as grants,
       (select json_agg(p) from pg_policies p where p.schemaname = n.nspname and p.tablename = c.relname) as policies
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'app' and c.relkind in ('r', 'p', 'f')
 order by 1`;

const ROLES_SQL = `-- In each of the two databases, as any role:
select rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
       (select array_agg(pg_get_userbyid(m.roleid)) from pg_auth_members m where m.member = r.oid) as member_of
  from pg_roles r where rolname in ('tenon_owner', 'tenon_app', 'tenon_worker', 'tenon_support')
 order by 1`;
