-- The tenant context inside PostgreSQL: the database believes a signed token, never the application.

create schema if not exists tenon;
create schema app;
grant usage on schema tenon, app to tenon_app, tenon_worker, tenon_eraser, tenon_support, tenon_mover;
-- Which migrations a database stands at is evidence of how it was changed.
grant select on tenon.migrations to tenon_worker;

-- The secrets that verify tokens, as the two padded blocks of HMAC (RFC 2104), so that the built-in sha256() is enough.
-- Only the owner reads them: the application role can show a token but never make one.
create table tenon.context_keys (
  kid text primary key check (kid ~ '^[a-z0-9-]{1,32}$'),
  inner_block bytea not null check (octet_length(inner_block) = 64),
  outer_block bytea not null check (octet_length(outer_block) = 64)
);
revoke all on tenon.context_keys from public;

-- Yields the tenant of the transaction from `app.tenant` = uuid.expirySeconds.kid.mac; null without a context (so that a
-- policy shows no row), an error with a forged, expired or malformed one. Policies call it inside a scalar subselect,
-- which runs it once a statement instead of once a row.
create function tenon.tenant_id() returns uuid
language plpgsql stable security definer parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
  -- The setting is '' and not null once any transaction of the session has set it.
  token text := nullif(current_setting('app.tenant', true), '');
  part text[] := string_to_array(token, '.');
  key tenon.context_keys;
begin
  if token is null then
    return null;
  end if;
  select * into key from tenon.context_keys where kid = part[3];
  -- Comparing hashes of the two codes tells an attacker's clock nothing about how much of hers was right.
  if not found or array_length(part, 1) <> 4
    or sha256(convert_to(part[4], 'UTF8')) is distinct from sha256(convert_to(encode(sha256(key.outer_block
      || sha256(key.inner_block || convert_to(part[1] || '.' || part[2] || '.' || part[3], 'UTF8'))), 'hex'), 'UTF8'))
  then
    raise exception 'the tenant context is not signed by us' using errcode = '42501';
  end if;
  if part[2]::bigint <= extract(epoch from clock_timestamp()) then
    raise exception 'the tenant context has expired' using errcode = '42501';
  end if;
  return part[1]::uuid;
end
$$;
revoke all on function tenon.tenant_id() from public;
grant execute on function tenon.tenant_id() to tenon_app, tenon_worker, tenon_eraser, tenon_support, tenon_mover;

-- Tenants whose rows here are a copy that counts nowhere: it is being made (`arriving`), takes no more changes (`leaving`), or
-- was left behind (`departed`). A row stays where a tenant has left, for whoever still looks for her here.
create table tenon.absent_tenants (
  tenant uuid primary key,
  standing text not null check (standing in ('arriving', 'leaving', 'departed')),
  move uuid not null,
  -- Of a copy: the transactions of the source that it held when it was read, and how far it has followed since.
  snapshot pg_snapshot,
  applied pg_lsn,
  since timestamptz not null default clock_timestamp()
);
revoke all on tenon.absent_tenants from public;

-- Whose rows the worker passes over where it acts for all tenants.
create function tenon.absent() returns uuid[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(tenant), '{}') from tenon.absent_tenants
$$;
revoke all on function tenon.absent() from public;
grant execute on function tenon.absent() to tenon_worker;

-- Puts a tenant table under row security; every tenant table calls it right below its definition. The restrictive policy
-- is the wall: another permissive policy added by mistake cannot open it. The permissive one lets rows through at all.
create procedure tenon.protect(target regclass)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format(
    'create policy tenant_access on %s as permissive for all to tenon_app, tenon_worker, tenon_eraser, tenon_support, tenon_mover'
    ' using (true)', target);
  execute format(
    'create policy tenant_isolation on %s as restrictive for all to public'
    ' using (tenant_id = (select tenon.tenant_id())) with check (tenant_id = (select tenon.tenant_id()))', target);
  execute format('revoke all on %s from public', target);
  execute format('grant select on %s to tenon_worker', target);
  -- The rows of a tenant go with her, from every table; what may not go, the functions below its role refuse.
  execute format('grant select, delete on %s to tenon_eraser', target);
  execute format('grant select, insert, update, delete on %s to tenon_mover', target);
end
$$;
revoke all on procedure tenon.protect(regclass) from public;

-- The same wall for the few tables that the worker drains or writes for all tenants: the application role stands before
-- it as everywhere, and so does the worker under a tenant's context; without one it acts for all of them whose rows count
-- here. The catalog lint holds the list of these tables.
create procedure tenon.protect_for_worker(target regclass)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  call tenon.protect(target);
  execute format('drop policy tenant_isolation on %s', target);
  execute format(
    'create policy tenant_isolation on %s as restrictive for all to tenon_app, tenon_owner, tenon_eraser, tenon_support, tenon_mover'
    ' using (tenant_id = (select tenon.tenant_id())) with check (tenant_id = (select tenon.tenant_id()))', target);
  execute format(
    'create policy worker_isolation on %s as restrictive for all to tenon_worker'
    ' using (((select tenon.tenant_id()) is null and tenant_id <> all ((select tenon.absent())::uuid[]))'
    '   or tenant_id = (select tenon.tenant_id()))'
    ' with check (((select tenon.tenant_id()) is null and tenant_id <> all ((select tenon.absent())::uuid[]))'
    '   or tenant_id = (select tenon.tenant_id()))', target);
end
$$;
revoke all on procedure tenon.protect_for_worker(regclass) from public;

-- Lets a function run with the rights of a role that nobody logs in as, called by the worker alone.
create procedure tenon.run_as(servant name, target regprocedure)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('revoke all on function %s from public', target);
  execute format('grant execute on function %s to tenon_worker', target);
  -- A new owner has to be able to make functions there at that moment, and never else.
  execute format('grant create on schema tenon to %I', servant);
  execute format('alter function %s owner to %I', target, servant);
  execute format('revoke create on schema tenon from %I', servant);
end
$$;
revoke all on procedure tenon.run_as(name, regprocedure) from public;
