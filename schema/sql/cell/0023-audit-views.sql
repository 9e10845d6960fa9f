-- Saved views of the audit log: filters that somebody has given a name.
create table app.audit_views (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  -- Public id of the actor who made it: a personal view is hers alone, a shared one is seen by all who may read the log.
  owner_id text not null check (length(owner_id) between 1 and 200),
  name text not null check (length(name) between 1 and 100),
  shared boolean not null,
  -- The fields of the filter by the names of the graph; those that ask for nothing are left out.
  filter jsonb not null check (jsonb_typeof(filter) = 'object' and octet_length(filter::text) <= 16384),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, owner_id, name)
);
call tenon.protect('app.audit_views');
grant select, insert, update, delete on app.audit_views to tenon_app;

-- Of an erased person go the views that name her address, whoever has saved them, and those that were hers alone: an
-- owner is a public id, which is the person's UUID in Crockford's base 32 behind its kind.
create function tenon.public_id(kind text, id uuid) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  bits bit varying := B'00' || ('x' || replace(id::text, '-', ''))::bit(128);
  written text := kind || '_';
begin
  for place in 0..25 loop
    written := written || substr('0123456789abcdefghjkmnpqrstvwxyz', substring(bits from place * 5 + 1 for 5)::bit(5)::integer + 1, 1);
  end loop;
  return written;
end
$$;
revoke all on function tenon.public_id(text, uuid) from public;
grant execute on function tenon.public_id(text, uuid) to tenon_eraser;

create function tenon.erase_audit_views(person uuid) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone bigint;
  names text[];
begin
  perform tenon.require_erased(person);
  -- An address leads to her alone; a name without one could stand in anybody's view.
  select array(select known from unnest(array[u.user_name_folded, u.email_folded]) as known where position('@' in known) > 1)
    into names from app.users u where u.id = person;
  delete from app.audit_views v
   where (v.owner_id = tenon.public_id('usr', person) and not v.shared)
      or exists (select from unnest(names) as known (name)
                  where position(known.name in lower(v.name || ' ' || v.filter::text)) > 0);
  get diagnostics gone = row_count;
  return gone;
end
$$;
call tenon.run_as('tenon_eraser', 'tenon.erase_audit_views(uuid)');
grant select, delete on app.audit_views to tenon_eraser;
