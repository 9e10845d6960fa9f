-- Epochs of a log. A database that was set back to an older point finds more of the log in the archive than it holds. What
-- it lost it takes back from there; what it wrote meanwhile under numbers that were signed already stands here, and its
-- events move on into the next epoch.

-- Since when a log is being brought back from the archive; null once nothing is left to do.
alter table app.log_heads add column recovering_since timestamptz;
create index log_heads_recovering on app.log_heads (tenant_id) where recovering_since is not null;

create table app.log_displaced (
  tenant_id uuid not null default tenon.tenant_id(),
  -- Events move in this order.
  position bigint generated always as identity,
  -- Where the entry stood before it left the log, unsigned.
  epoch integer not null,
  seq bigint not null,
  event_id uuid not null,
  leaf bytea not null check (octet_length(leaf) = 32),
  entry text not null,
  displaced_at timestamptz not null,
  -- When its event was found to stand in the log, moved or brought back; null while it waits.
  settled_at timestamptz,
  primary key (tenant_id, position),
  unique (tenant_id, epoch, seq, leaf)
);
create index log_displaced_waiting on app.log_displaced (tenant_id, position) where settled_at is null;
call tenon.protect_for_worker('app.log_displaced');
grant select on app.log_displaced to tenon_app;
grant select, insert, update on app.log_displaced to tenon_worker;

-- The worker may take out of a log what stands here, and of the segments what was never put anywhere; nothing else.
create function tenon.keep_entries() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from app.log_displaced d
    where d.tenant_id = old.tenant_id and d.epoch = old.epoch and d.seq = old.seq and d.leaf = old.leaf
  ) then
    raise exception 'an entry leaves its log only once it stands in log_displaced' using errcode = '42501';
  end if;
  return old;
end
$$;
create trigger keep_entries before delete on app.log_entries
  for each row when (current_user = 'tenon_worker') execute function tenon.keep_entries();

create function tenon.keep_segments() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.state <> 'planned' then
    raise exception 'a segment is forgotten only while nothing of it is signed' using errcode = '42501';
  end if;
  return old;
end
$$;
create trigger keep_segments before delete on app.segments
  for each row when (current_user = 'tenon_worker') execute function tenon.keep_segments();

grant delete on app.log_entries, app.log_tiles, app.segments to tenon_worker;
