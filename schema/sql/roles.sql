-- The three roles of a PostgreSQL server, made once by its administrator; passwords are given afterwards.
-- None of them is a superuser or may bypass row security, and none is a member of another, so SET ROLE leads nowhere.
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
end
$$;
