/** One thing broken by the superuser, and what the lint says of it. */
interface Mutation {
  readonly rule: string;
  readonly object: string;
  readonly sql: string;
}

const WALL = 'tenant_id = (select tenon.tenant_id())';
/** A new table that keeps every rule, for a mutation to start from. */
export const TABLE = `create table app.things (tenant_id uuid not null default tenon.tenant_id(), id uuid, primary key (tenant_id, id))`;
export const OWNED = (sql: string) => `set local role tenon_owner; ${sql}; reset role`;
export const CHILD = `${TABLE.replace('id uuid,', 'id uuid not null,')} partition by list (id); call tenon.protect('app.things');
  create table app.things_rest partition of app.things default`;

/** Everything that can be broken about a catalog, at least one for each rule. */
export const MUTATIONS: readonly Mutation[] = [
  { rule: 'row-security', object: 'app.users', sql: 'alter table app.users disable row level security' },
  { rule: 'forced-row-security', object: 'app.users', sql: 'alter table app.users no force row level security' },
  { rule: 'tenant-column', object: 'app.users', sql: 'alter table app.users alter tenant_id drop default' },
  {
    rule: 'tenant-column',
    object: 'app.users',
    sql: 'alter table app.users alter tenant_id set default gen_random_uuid()',
  },
  {
    rule: 'tenant-column',
    object: 'app.things',
    sql: OWNED(
      `${TABLE.replace(', primary key (tenant_id, id)', '').replace('not null ', '')}; call tenon.protect('app.things')`,
    ),
  },
  { rule: 'keys', object: 'app.users', sql: 'alter table app.users add unique (email)' },
  { rule: 'keys', object: 'app.users', sql: 'alter table app.users add unique (email, tenant_id)' },
  { rule: 'keys', object: 'app.users', sql: 'create unique index on app.users (lower(email), tenant_id)' },
  { rule: 'keys', object: 'app.users', sql: `create unique index on app.users (id) where email = 'a'` },
  { rule: 'keys', object: 'app.users', sql: 'alter table app.users add exclude using btree (id with =)' },
  {
    rule: 'keys',
    object: 'app.things',
    sql: OWNED(`${TABLE.replace('(tenant_id, id)', '(id, tenant_id)')}; call tenon.protect('app.things')`),
  },
  {
    rule: 'foreign-keys',
    object: 'app.documents',
    sql: 'alter table app.documents add foreign key (project_id, tenant_id) references app.projects (id, tenant_id)',
  },
  {
    rule: 'foreign-keys',
    object: 'app.documents',
    sql: 'alter table app.documents add foreign key (author_id) references app.tenants (tenant_id)',
  },
  {
    rule: 'foreign-keys',
    object: 'app.documents',
    sql: 'alter table app.documents add foreign key (tenant_id, author_id) references app.users (id, tenant_id)',
  },
  { rule: 'tenant-isolation', object: 'app.users', sql: 'drop policy tenant_isolation on app.users' },
  { rule: 'tenant-isolation', object: 'app.users', sql: 'alter policy tenant_isolation on app.users to tenon_app' },
  { rule: 'tenant-isolation', object: 'app.outbox', sql: 'alter policy tenant_isolation on app.outbox to tenon_owner' },
  { rule: 'tenant-isolation', object: 'app.outbox', sql: 'alter policy tenant_isolation on app.outbox to public' },
  {
    rule: 'tenant-isolation',
    object: 'app.users',
    sql: `alter policy tenant_isolation on app.users using (${WALL} or true)`,
  },
  {
    rule: 'tenant-isolation',
    object: 'app.users',
    sql: 'alter policy tenant_isolation on app.users with check (true)',
  },
  {
    rule: 'tenant-isolation',
    object: 'app.users',
    sql: `alter policy tenant_isolation on app.users using (tenant_id = current_setting('app.tenant')::uuid)`,
  },
  {
    rule: 'tenant-isolation',
    object: 'app.users',
    sql: 'alter policy tenant_isolation on app.users rename to tenant_walls',
  },
  {
    rule: 'tenant-isolation',
    object: 'app.users',
    sql: `drop policy tenant_isolation on app.users;
      create policy tenant_isolation on app.users as restrictive for select to public using (${WALL})`,
  },
  { rule: 'worker-rights', object: 'app.projects', sql: 'grant delete on app.projects to tenon_worker' },
  { rule: 'worker-rights', object: 'app.projects', sql: 'grant update (name) on app.projects to tenon_worker' },
  { rule: 'worker-isolation', object: 'app.outbox', sql: 'drop policy worker_isolation on app.outbox' },
  {
    rule: 'worker-isolation',
    object: 'app.outbox',
    sql: 'alter policy worker_isolation on app.outbox using (true)',
  },
  {
    rule: 'permissive-policies',
    object: 'app.users',
    sql: `create policy support on app.users using (email like '%@support')`,
  },
  {
    rule: 'policy-functions',
    object: 'app.users',
    sql: 'create policy odd on app.users as restrictive using (random() < 2)',
  },
  {
    rule: 'policy-functions',
    object: 'app.users',
    sql: `create policy odd on app.users as restrictive using (set_config('a.b', 'c', false) = 'c')`,
  },
  { rule: 'children', object: 'app.things_rest', sql: OWNED(CHILD) },
  {
    rule: 'child-privileges',
    object: 'app.things_rest',
    sql: OWNED(`${CHILD}; alter table app.things_rest enable row level security; alter table app.things_rest force row level security;
      grant select on app.things_rest to tenon_app`),
  },
  {
    rule: 'children',
    object: 'app.things',
    sql: OWNED(`create table app.things (primary key (tenant_id, id)) inherits (app.projects)`),
  },
  { rule: 'views', object: 'app.people', sql: OWNED('create view app.people as select * from app.users') },
  {
    rule: 'views',
    object: 'app.people',
    sql: OWNED('create view app.people with (security_barrier) as select * from app.users'),
  },
  {
    rule: 'views',
    object: 'public.people',
    sql: 'create view public.people with (security_invoker = false) as select * from app.users',
  },
  {
    rule: 'materialized-views',
    object: 'app.people',
    sql: OWNED('create materialized view app.people as select * from app.users'),
  },
  {
    rule: 'security-definers',
    object: 'app.people()',
    sql: OWNED(`create function app.people() returns bigint language sql stable security definer set search_path = pg_catalog
      as 'select count(*) from app.users'; revoke all on function app.people() from public`),
  },
  {
    rule: 'security-definers',
    object: 'tenon.protect(IN target regclass)',
    sql: 'alter procedure tenon.protect(regclass) security definer',
  },
  {
    rule: 'security-definers',
    object: 'tenon.erase_everybody()',
    sql: OWNED(`create function tenon.erase_everybody() returns void language sql security definer
      set search_path = pg_catalog, pg_temp as 'delete from app.users'; revoke all on function tenon.erase_everybody() from public`),
  },
  {
    rule: 'erasers',
    object: 'tenon.erase_user(person uuid)',
    sql: 'grant execute on function tenon.erase_user(uuid) to tenon_app',
  },
  {
    rule: 'erasers',
    object: 'tenon.erase_user(person uuid)',
    sql: 'alter function tenon.erase_user(uuid) owner to tenon_owner',
  },
  { rule: 'worker-rights', object: 'app.users', sql: 'grant delete on app.users to tenon_worker' },
  {
    rule: 'possessions',
    object: 'tenon_eraser',
    sql: 'alter type tenon.security_event owner to tenon_eraser',
  },
  {
    rule: 'definer-search-path',
    object: 'tenon.tenant_id()',
    sql: 'alter function tenon.tenant_id() reset search_path',
  },
  { rule: 'table-privileges', object: 'app.users', sql: 'grant truncate on app.users to tenon_app' },
  { rule: 'table-privileges', object: 'app.users', sql: 'grant references (id) on app.users to tenon_app' },
  { rule: 'table-privileges', object: 'app.users', sql: 'grant trigger on app.users to tenon_worker' },
  { rule: 'table-privileges', object: 'app.users', sql: 'grant select on app.users to public' },
  {
    rule: 'table-privileges',
    object: 'app.users',
    sql: 'revoke select on app.users from tenon_worker; grant select on app.users to tenon_worker with grant option',
  },
  { rule: 'sequences', object: 'app.outbox_position_seq', sql: 'grant select on app.outbox_position_seq to tenon_app' },
  { rule: 'outside-app', object: 'tenon.migrations', sql: 'grant select on tenon.migrations to tenon_app' },
  {
    rule: 'outside-app',
    object: 'public.notes',
    sql: 'create table public.notes (text text); grant select (text) on public.notes to public',
  },
  { rule: 'context-keys', object: 'tenon.context_keys', sql: 'grant select on tenon.context_keys to tenon_app' },
  {
    rule: 'context-keys',
    object: 'tenon.context_keys',
    sql: 'grant select (inner_block) on tenon.context_keys to public',
  },
  { rule: 'context-keys', object: 'tenon.context_keys', sql: 'grant delete on tenon.context_keys to tenon_worker' },
  {
    rule: 'database-privileges',
    object: 'tenon_app',
    sql: `do $$ begin execute format('grant temporary on database %I to tenon_app', current_database()); end $$`,
  },
  {
    rule: 'database-privileges',
    object: 'PUBLIC',
    sql: `do $$ begin execute format('grant create on database %I to public', current_database()); end $$`,
  },
  { rule: 'schema-privileges', object: 'app', sql: 'grant create on schema app to tenon_app' },
  { rule: 'schema-privileges', object: 'public', sql: 'grant create on schema public to public' },
  {
    rule: 'function-privileges',
    object: 'app.people()',
    sql: OWNED(`create function app.people() returns bigint language sql stable as 'select count(*) from app.users'`),
  },
  {
    rule: 'function-privileges',
    object: 'tenon.tenant_id()',
    sql: 'set local role tenon_owner; grant execute on function tenon.tenant_id() to public; reset role',
  },
  {
    rule: 'settings',
    object: 'tenon_app app.tenant=somebody',
    sql: `alter role tenon_app set app.tenant = 'somebody'`,
  },
  {
    rule: 'settings',
    object: '* search_path=public, app',
    sql: `do $$ begin execute format('alter database %I set search_path = public, app', current_database()); end $$`,
  },
  { rule: 'roles', object: 'tenon_app', sql: 'alter role tenon_app superuser' },
  { rule: 'roles', object: 'tenon_worker', sql: 'alter role tenon_worker bypassrls' },
  { rule: 'roles', object: 'tenon_owner', sql: 'alter role tenon_owner bypassrls' },
  { rule: 'roles', object: 'tenon_app', sql: 'alter role tenon_app createrole' },
  { rule: 'roles', object: 'tenon_app', sql: 'alter role tenon_app createdb' },
  { rule: 'roles', object: 'tenon_worker', sql: 'alter role tenon_worker replication' },
  { rule: 'roles', object: 'tenon_eraser', sql: 'alter role tenon_eraser login' },
  { rule: 'roles', object: 'tenon_mover', sql: 'alter role tenon_mover login' },
  {
    rule: 'movers',
    object: 'tenon.remove_copy(target text, most bigint)',
    sql: 'grant execute on function tenon.remove_copy(text, bigint) to tenon_app',
  },
  { rule: 'memberships', object: 'tenon_app', sql: 'grant tenon_owner to tenon_app' },
  { rule: 'memberships', object: 'tenon_worker', sql: 'grant tenon_eraser to tenon_worker' },
  { rule: 'memberships', object: 'tenon_worker', sql: 'grant tenon_support to tenon_worker' },
  { rule: 'roles', object: 'tenon_support', sql: 'alter role tenon_support login' },
  { rule: 'support-less', object: 'app.projects', sql: 'revoke insert on app.projects from tenon_app' },
  { rule: 'support-secrets', object: 'app.credentials', sql: 'grant select on app.credentials to tenon_support' },
  { rule: 'support-changes', object: 'app.users', sql: 'grant delete on app.users to tenon_support' },
  { rule: 'memberships', object: 'tenon_worker', sql: 'grant pg_read_all_data to tenon_worker' },
  { rule: 'possessions', object: 'tenon_app', sql: 'set local role tenon_app; select lo_create(0); reset role' },
  {
    rule: 'possessions',
    object: 'tenon_worker',
    sql: 'create type public.mood as (text text); alter type public.mood owner to tenon_worker',
  },
  { rule: 'owners', object: 'app.users', sql: 'alter table app.users owner to current_user' },
  { rule: 'owners', object: 'tenon.tenant_id()', sql: 'alter function tenon.tenant_id() owner to current_user' },
  { rule: 'owners', object: 'app', sql: 'alter schema app owner to current_user' },
];
