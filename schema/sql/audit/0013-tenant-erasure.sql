-- What the worker may take out of the audit database of a tenant who has ended: all but the log and what proves it. The log
-- holds ciphertext under a key that is destroyed; it goes when the archive has let go of its last object, and its head stays.

create function tenon.require_ended() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from app.erasures e where e.subject_id is null) then
    raise exception 'this tenant has not ended' using errcode = '42501';
  end if;
end
$$;
revoke all on function tenon.require_ended() from public;
grant execute on function tenon.require_ended() to tenon_eraser;
grant update (erased) on app.erasures to tenon_eraser;

-- The log, what is known of its archive, its alarms, the erasures themselves; and what belongs to the platform.
create function tenon.kept_of_ended() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
return array['log_heads', 'log_entries', 'log_tiles', 'log_refusals', 'log_displaced', 'log_alarms', 'segments', 'erasures',
  'archive_retention', 'archive_objects', 'archive_scans', 'platform_events', 'platform_log', 'platform_ticks',
  'platform_entries', 'platform_tiles', 'platform_heads', 'platform_anchors', 'anchor_sources', 'key_rotations'];
revoke all on function tenon.kept_of_ended() from public;
grant execute on function tenon.kept_of_ended() to tenon_eraser, tenon_worker;

-- The log itself, beside its head.
create function tenon.log_of_ended() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
return array['log_entries', 'log_tiles', 'log_refusals', 'log_displaced', 'segments'];
revoke all on function tenon.log_of_ended() from public;
grant execute on function tenon.log_of_ended() to tenon_eraser, tenon_worker;

-- Tells whether the archive held objects of her log and holds none any more.
create function tenon.archive_let_go() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
return exists (select from app.archive_objects o where o.removed_at is not null)
  and not exists (select from app.archive_objects o where o.removed_at is null);
revoke all on function tenon.archive_let_go() from public;
grant execute on function tenon.archive_let_go() to tenon_eraser, tenon_worker;

-- As its namesake in the cell.
create function tenon.erase_tenant_rows(target text, at_most integer) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone bigint;
begin
  perform tenon.require_ended();
  if (target = any (tenon.kept_of_ended()) and not (target = any (tenon.log_of_ended()) and tenon.archive_let_go()))
    or not exists (
    select from pg_class c where c.oid = to_regclass(format('app.%I', target)) and c.relkind in ('r', 'p')
  ) then
    raise exception 'no table that a tenant is erased from' using errcode = '42501';
  end if;
  execute format('delete from app.%1$I where ctid = any (array(select ctid from app.%1$I limit $1))', target)
    using at_most;
  get diagnostics gone = row_count;
  update app.erasures
     set erased = erased || jsonb_build_object(target, coalesce((erased ->> target)::bigint, 0) + gone)
   where subject_id is null;
  return gone;
end
$$;
call tenon.run_as('tenon_eraser', 'tenon.erase_tenant_rows(text, integer)');
