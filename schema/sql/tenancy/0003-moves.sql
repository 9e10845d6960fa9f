-- What a move of a tenant to another database is made of. All of it acts for the tenant of the signed context and for no
-- other. The changes of her rows are decoded from the write-ahead log under a publication that holds her rows alone; they
-- are written elsewhere under her context too, so that no mistake of a program can mix tenants.

grant select, insert, update, delete on tenon.absent_tenants to tenon_mover;

-- The lock that every transaction of a tenant shares, and that a move takes for itself while nothing may change. Without a
-- setting of its own, so that PostgreSQL lays it into the statement that calls it.
create function tenon.fence_key(who uuid) returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended(who::text, 1836021349);
revoke all on function tenon.fence_key(uuid) from public;
grant execute on function tenon.fence_key(uuid) to tenon_app, tenon_worker, tenon_mover;

-- The first thing that a transaction of a tenant does. TN002 while a move holds her still: nothing was done, come again.
-- TN001 where her rows do not count here: ask the directory where they do. A lock that is waited for is refused too, so
-- that a move waits for what runs and for nothing that comes later.
create function tenon.enter(who uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not pg_try_advisory_xact_lock_shared(tenon.fence_key(who)) then
    raise exception 'the tenant is being moved' using errcode = 'TN002';
  end if;
  if exists (select from tenon.absent_tenants a where a.tenant = who and a.standing <> 'leaving') then
    raise exception 'the tenant lives elsewhere' using errcode = 'TN001';
  end if;
end
$$;
revoke all on function tenon.enter(uuid) from public;
grant execute on function tenon.enter(uuid) to tenon_app, tenon_worker;

-- The tenant of the context; an error without one.
create function tenon.moving_tenant() returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  tenant uuid := tenon.tenant_id();
begin
  if tenant is null then
    raise exception 'a move needs the context of a tenant' using errcode = '42501';
  end if;
  return tenant;
end
$$;
revoke all on function tenon.moving_tenant() from public;
grant execute on function tenon.moving_tenant() to tenon_worker, tenon_mover;

-- Names of the tables that hold rows of tenants.
create function tenon.moved_tables() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select c.relname::text from pg_class c
   where c.relnamespace = 'app'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
     and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
   order by 1
$$;
revoke all on function tenon.moved_tables() from public;
grant execute on function tenon.moved_tables() to tenon_worker, tenon_mover;

create function tenon.moved_table(target text) returns regclass
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if target is null or target not in (select tenon.moved_tables()) then
    raise exception 'no table of tenants' using errcode = '22023';
  end if;
  return format('app.%I', target)::regclass;
end
$$;
revoke all on function tenon.moved_table(text) from public;
grant execute on function tenon.moved_table(text) to tenon_mover;

-- Columns of a primary key, in its order.
create function tenon.key_columns(target regclass) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(a.attname order by k.place)
    from pg_index i, unnest(i.indkey::smallint[]) with ordinality as k (number, place)
    join pg_attribute a on a.attnum = k.number
   where i.indrelid = target and i.indisprimary and a.attrelid = target
$$;
revoke all on function tenon.key_columns(regclass) from public;
grant execute on function tenon.key_columns(regclass) to tenon_worker, tenon_mover;

-- Slots have names for the whole server.
create function tenon.move_name() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select 'tenon_move_' || (select oid from pg_database where datname = current_database()) || '_'
    || replace(tenon.moving_tenant()::text, '-', '')
$$;
revoke all on function tenon.move_name() from public;
grant execute on function tenon.move_name() to tenon_worker, tenon_mover;

-- Makes the publication of the tenant's rows, and of nothing else. A publication is its owner's, and so is this function.
create function tenon.publish_rows() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('create publication %I for table %s with (publish = ''insert, update, delete'')', tenon.move_name(),
    (select string_agg(format('app.%I where (tenant_id = %L::uuid)', t, tenon.moving_tenant()), ', ')
       from tenon.moved_tables() t));
end
$$;
revoke all on function tenon.publish_rows() from public;
grant execute on function tenon.publish_rows() to tenon_worker;

create function tenon.unpublish_rows() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('drop publication if exists %I', tenon.move_name());
end
$$;
revoke all on function tenon.unpublish_rows() from public;
grant execute on function tenon.unpublish_rows() to tenon_worker;

-- Begins to keep the changes of the tenant's rows: what commits from now on can be read, until the slot is dropped.
create function tenon.open_changes() returns pg_lsn
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select lsn from pg_create_logical_replication_slot(tenon.move_name(), 'pgoutput')
$$;
call tenon.run_as('tenon_mover', 'tenon.open_changes()');

-- Returns the changes beyond those that were taken, in the messages of pgoutput (protocol version 1); they stay.
create function tenon.read_changes() returns table (lsn pg_lsn, data bytea)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select c.lsn, c.data from pg_logical_slot_peek_binary_changes(tenon.move_name(), null, null,
    'proto_version', '1', 'publication_names', tenon.move_name()) c
$$;
call tenon.run_as('tenon_mover', 'tenon.read_changes()');

-- Says that the changes up to here are in the copy.
create function tenon.take_changes(upto pg_lsn) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select pg_replication_slot_advance(tenon.move_name(), upto)
$$;
call tenon.run_as('tenon_mover', 'tenon.take_changes(pg_lsn)');

create function tenon.close_changes() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = tenon.move_name()
$$;
call tenon.run_as('tenon_mover', 'tenon.close_changes()');

-- How the tenant stands here; null where her rows count.
create function tenon.absence() returns tenon.absent_tenants
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from tenon.absent_tenants where tenant = tenon.moving_tenant()
$$;
call tenon.run_as('tenon_mover', 'tenon.absence()');

-- Marks the tenant as absent. A copy begins where there is nothing of hers: what counts somewhere is never taken for one.
create function tenon.set_absence(of_move uuid, how text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before text := (tenon.absence()).standing;
  target text;
  found boolean;
begin
  if how = 'arriving' and before is distinct from 'arriving' then
    for target in select tenon.moved_tables() loop
      execute format('select exists (select from app.%I)', target) into found;
      if found then
        raise exception 'there are rows of the tenant in %', target using errcode = '55000';
      end if;
    end loop;
  end if;
  insert into tenon.absent_tenants (tenant, standing, move) values (tenon.moving_tenant(), how, of_move)
    on conflict (tenant) do update set standing = how, move = of_move, since = clock_timestamp();
end
$$;
call tenon.run_as('tenon_mover', 'tenon.set_absence(uuid,text)');

-- From now on the tenant's rows count here.
create function tenon.end_absence() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  delete from tenon.absent_tenants where tenant = tenon.moving_tenant()
$$;
call tenon.run_as('tenon_mover', 'tenon.end_absence()');

-- Notes which transactions of the source the copy held as it was read.
create function tenon.note_snapshot(held pg_snapshot) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  update tenon.absent_tenants set snapshot = held, applied = null where tenant = tenon.moving_tenant()
$$;
call tenon.run_as('tenon_mover', 'tenon.note_snapshot(pg_snapshot)');

-- Notes up to where the source's changes are in the copy, in the transaction that writes them.
create function tenon.note_applied(upto pg_lsn) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  update tenon.absent_tenants set applied = upto where tenant = tenon.moving_tenant()
$$;
call tenon.run_as('tenon_mover', 'tenon.note_applied(pg_lsn)');

-- An error unless the tenant's rows here are a copy that is being made.
create function tenon.require_copy() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if (tenon.absence()).standing is distinct from 'arriving' then
    raise exception 'the rows of the tenant here are no copy' using errcode = '55000';
  end if;
end
$$;
revoke all on function tenon.require_copy() from public;
grant execute on function tenon.require_copy() to tenon_mover;

-- Writes rows of a copy, each in the text of its table's row type. A row that is there is written over.
create function tenon.copy_rows(target text, rows text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  relation regclass := tenon.moved_table(target);
  key name[] := tenon.key_columns(relation);
  columns text;
  changes text;
begin
  perform tenon.require_copy();
  select string_agg(quote_ident(attname), ', ' order by attnum),
         string_agg(format('%1$I = excluded.%1$I', attname), ', ') filter (where attname <> all (key) and attidentity <> 'a')
    into columns, changes
    from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped and attgenerated = '';
  perform set_config('session_replication_role', 'replica', true);
  execute format('insert into %1$s (%2$s) overriding system value select %2$s from unnest($1::%1$s[]) on conflict (%3$s) do %4$s',
    relation, columns, (select string_agg(quote_ident(k), ', ') from unnest(key) k),
    coalesce('update set ' || changes, 'nothing')) using rows;
  perform set_config('session_replication_role', 'origin', true);
end
$$;
call tenon.run_as('tenon_mover', 'tenon.copy_rows(text,text[])');

-- Changes the named columns of one row of a copy: those that a change of the source has brought.
create function tenon.copy_columns(target text, row_text text, columns text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  relation regclass := tenon.moved_table(target);
  key name[] := tenon.key_columns(relation);
  changes text;
begin
  perform tenon.require_copy();
  select string_agg(format('%1$I = changed.%1$I', attname), ', ') into changes
    from pg_attribute
   where attrelid = relation and attname = any (columns) and attname <> all (key) and attidentity <> 'a' and attgenerated = '';
  if changes is null then
    return;
  end if;
  perform set_config('session_replication_role', 'replica', true);
  execute format('update %1$s as kept set %2$s from unnest(array[$1]::%1$s[]) as changed where %3$s', relation, changes,
    (select string_agg(format('kept.%1$I = changed.%1$I', k), ' and ') from unnest(key) k)) using row_text;
  perform set_config('session_replication_role', 'origin', true);
end
$$;
call tenon.run_as('tenon_mover', 'tenon.copy_columns(text,text,text[])');

-- Removes rows of a copy, by their keys.
create function tenon.uncopy_rows(target text, rows text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  relation regclass := tenon.moved_table(target);
begin
  perform tenon.require_copy();
  perform set_config('session_replication_role', 'replica', true);
  execute format('delete from %1$s as kept using unnest($1::%1$s[]) as gone where %2$s', relation,
    (select string_agg(format('kept.%1$I = gone.%1$I', k), ' and ') from unnest(tenon.key_columns(relation)) k)) using rows;
  perform set_config('session_replication_role', 'origin', true);
end
$$;
call tenon.run_as('tenon_mover', 'tenon.uncopy_rows(text,text[])');

-- Removes at most so many rows of a copy that is given up or was left behind, and returns how many were removed.
create function tenon.remove_copy(target text, most bigint) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  relation regclass := tenon.moved_table(target);
  removed bigint;
begin
  if coalesce((tenon.absence()).standing, '') not in ('arriving', 'departed') then
    raise exception 'the rows of the tenant here are no copy' using errcode = '55000';
  end if;
  perform set_config('session_replication_role', 'replica', true);
  execute format('delete from %1$s where ctid = any (array(select ctid from %1$s limit %2$s))', relation, most);
  get diagnostics removed = row_count;
  perform set_config('session_replication_role', 'origin', true);
  return removed;
end
$$;
call tenon.run_as('tenon_mover', 'tenon.remove_copy(text,bigint)');

-- Numbers that a table gives out go on behind those of the rows that came; they are never set back.
create function tenon.raise_position(target text, least_value bigint) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  relation regclass := tenon.moved_table(target);
  sequence regclass := pg_get_serial_sequence(relation::text, 'position');
  is_behind boolean;
begin
  if sequence is null then
    return;
  end if;
  execute format('select last_value <= $1 from %s', sequence) into is_behind using least_value;
  -- Others may be given numbers at this moment; a thousand are left to them.
  if is_behind then
    perform setval(sequence, least_value + 1000);
  end if;
end
$$;
revoke all on function tenon.raise_position(text, bigint) from public;
grant execute on function tenon.raise_position(text, bigint) to tenon_worker;
grant execute on function tenon.moved_table(text) to tenon_owner;
