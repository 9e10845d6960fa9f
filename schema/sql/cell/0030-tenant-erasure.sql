-- What the worker may do to a tenant who has ended, whose key is destroyed: take her rows out of every table, some at a
-- time, and reduce what stays of her. Each function looks for itself, so that nobody ends a tenant by calling one.

-- How many rows went so far, table by table, for the certificate.
alter table app.tenant_keys add column erased jsonb not null default '{}' check (octet_length(erased::text) <= 65536);
grant update (erased) on app.tenant_keys to tenon_eraser;

-- An error for a tenant whose key is not destroyed.
create function tenon.require_ended() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from app.tenant_keys k where k.wrapped is null) then
    raise exception 'the key of this tenant is not destroyed' using errcode = '42501';
  end if;
end
$$;
revoke all on function tenon.require_ended() from public;
grant execute on function tenon.require_ended() to tenon_eraser;

-- Tables whose rows stay: who she was, by her id alone; the destroyed key; and events on their way into the log, which they
-- leave by themselves. One belongs to the platform.
create function tenon.kept_of_ended() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
return array['tenants', 'tenant_contracts', 'tenant_keys', 'outbox', 'sequenced_events', 'tier_service_levels'];
revoke all on function tenon.kept_of_ended() from public;
grant execute on function tenon.kept_of_ended() to tenon_eraser, tenon_worker;

-- Takes at most so many of her rows out of a table and returns how many; none are left once it is fewer.
create function tenon.erase_tenant_rows(target text, at_most integer) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone bigint;
begin
  perform tenon.require_ended();
  if target = any (tenon.kept_of_ended()) or not exists (
    select from pg_class c where c.oid = to_regclass(format('app.%I', target)) and c.relkind in ('r', 'p')
  ) then
    raise exception 'no table that a tenant is erased from' using errcode = '42501';
  end if;
  execute format('delete from app.%1$I where ctid = any (array(select ctid from app.%1$I limit $1))', target)
    using at_most;
  get diagnostics gone = row_count;
  -- What is announced of it is announced here, with these rights, and not at the commit with those of the caller.
  set constraints all immediate;
  update app.tenant_keys
     set erased = erased || jsonb_build_object(target, coalesce((erased ->> target)::bigint, 0) + gone);
  return gone;
end
$$;
call tenon.run_as('tenon_eraser', 'tenon.erase_tenant_rows(text, integer)');

-- Reduces what stays of her to her id. A tenant whom a backup has brought back to an earlier state is erased at once.
create function tenon.erase_tenant_facts() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tenon.require_ended();
  update app.tenants set
    name = 'erased',
    slug = 'erased-' || substr(tenon.public_id('tnt', id), 5),
    state_since = case when state in ('erasing', 'erased') then state_since else clock_timestamp() end,
    state = case when state = 'erasing' then state else 'erased' end,
    version = version + 1;
  update app.tenant_contracts set
    confirmed_by = case when confirmed_by is not null then 'erased' end,
    unpaid_reference = null,
    days = '{}';
  set constraints all immediate;
end
$$;
call tenon.run_as('tenon_eraser', 'tenon.erase_tenant_facts()');
grant update (name, slug, state, state_since, version) on app.tenants to tenon_eraser;
grant update (confirmed_by, unpaid_reference, days) on app.tenant_contracts to tenon_eraser;
