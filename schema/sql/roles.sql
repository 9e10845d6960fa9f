-- The roles of a PostgreSQL server, made once by its administrator; those that log in are given passwords afterwards.
-- None of them is a superuser or may bypass row security, and no program's role is a member of one that may do more, so
-- SET ROLE leads nowhere.
do $$
begin
  -- Owns schemas, tables and functions; used by `tenon migrate` alone.
  if not exists (select from pg_roles where rolname = 'tenon_owner') then
    create role tenon_owner login nosuperuser nocreatedb nocreaterole nobypassrls noinherit;
  end if;
  -- Gateway and subgraphs: sees the rows of the tenant whose signed context it shows, and nothing without one.
  if not exists (select from pg_roles where rolname = 'tenon_app') then
    create role tenon_app login nosuperuser nocreatedb nocreaterole nobypassrls noinherit;
  end if;
  -- Compliance worker: reads under a tenant's context too, and drains the outbox of all tenants.
  if not exists (select from pg_roles where rolname = 'tenon_worker') then
    create role tenon_worker login nosuperuser nocreatedb nocreaterole nobypassrls noinherit;
  end if;
  -- What removes an erased person: nobody logs in as it, a few functions run with its rights, one a subgraph. The owner is
  -- a member for one thing alone: migrations hand those functions over.
  if not exists (select from pg_roles where rolname = 'tenon_eraser') then
    create role tenon_eraser nologin nosuperuser nocreatedb nocreaterole nobypassrls noinherit;
  end if;
  if not pg_has_role('tenon_owner', 'tenon_eraser', 'member') then
    grant tenon_eraser to tenon_owner;
  end if;
  -- An operator whom a tenant let in: nobody logs in as it, the application steps down to it for her transactions. It may do
  -- nothing that the application may not, and less.
  if not exists (select from pg_roles where rolname = 'tenon_support') then
    create role tenon_support nologin nosuperuser nocreatedb nocreaterole nobypassrls noinherit;
  end if;
  if not pg_has_role('tenon_app', 'tenon_support', 'member') then
    grant tenon_support to tenon_app;
  end if;
  -- What moves a tenant to another database: nobody logs in as it either. Its few functions read the changes of one tenant
  -- from the write-ahead log and write her rows into a copy that nobody uses yet, without keys and triggers: those have
  -- done their work where the rows come from.
  if not exists (select from pg_roles where rolname = 'tenon_mover') then
    create role tenon_mover nologin replication nosuperuser nocreatedb nocreaterole nobypassrls noinherit;
  end if;
  if not pg_has_role('tenon_owner', 'tenon_mover', 'member') then
    grant tenon_mover to tenon_owner;
  end if;
  grant set on parameter session_replication_role to tenon_mover;
end
$$;
