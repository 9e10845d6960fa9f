-- How long the archive keeps a tenant's log, and legal holds. What a tenant wants stands in her cell, beside the outbox
-- that its events go through; here stands what the worker makes of it, and what it knows of each object of the archive.

-- What the worker goes by: copied from the cell and the directory. A tenant without a row has what holds for all.
create table app.archive_retention (
  tenant_id uuid primary key default tenon.tenant_id(),
  -- So far ahead the archive keeps each object; null where the tenant has decided nothing.
  days integer check (days between 1 and 36500),
  is_held boolean not null default false,
  -- The tenant has ended: nothing is kept for longer, and what is no longer kept is removed.
  is_ended boolean not null default false,
  updated_at timestamptz not null
);
call tenon.protect_for_worker('app.archive_retention');
grant select, insert, update on app.archive_retention to tenon_worker;

-- Every object of the archive that belongs to a log, as it was last seen.
create table app.archive_objects (
  -- Objects of the platform log belong to the platform, as in 0003.
  tenant_id uuid not null default tenon.tenant_id(),
  key text not null check (length(key) <= 512),
  -- As it stands in the archive; null where only its own bytes could tell.
  size_bytes bigint,
  sha256 bytea check (octet_length(sha256) = 32),
  -- What the archive has confirmed last.
  retain_until timestamptz not null,
  is_held boolean not null default false,
  -- When it is to be kept for longer, or of an ended tenant to be removed.
  due_at timestamptz not null,
  checked_at timestamptz not null,
  -- What the archive does not hold as it should.
  fault text check (fault in ('missing', 'size', 'content', 'lock', 'hold')),
  fault_since timestamptz,
  removed_at timestamptz,
  primary key (tenant_id, key),
  check ((fault is null) = (fault_since is null))
);
create index archive_objects_due on app.archive_objects (due_at) where removed_at is null;
create index archive_objects_unchecked on app.archive_objects (checked_at) where removed_at is null;
create index archive_objects_held on app.archive_objects (tenant_id) where is_held and removed_at is null;
create index archive_objects_faulty on app.archive_objects (tenant_id) where fault is not null and removed_at is null;
call tenon.protect_for_worker('app.archive_objects');
grant select, insert, update on app.archive_objects to tenon_worker;

-- Nightly comparisons of the archive with the table above; the one without an end goes on where it stopped.
create table app.archive_scans (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  started_at timestamptz not null,
  finished_at timestamptz,
  objects bigint not null default 0,
  repaired bigint not null default 0,
  faults bigint not null default 0,
  primary key (tenant_id, started_at)
);
call tenon.protect_for_worker('app.archive_scans');
grant select, insert, update on app.archive_scans to tenon_worker;

-- Every object becomes known with the statement that says it stands in the archive, so that none is forgotten. A third of
-- its time is left when it is due.
create function tenon.know_object(
  owner uuid, object_key text, at timestamptz, until timestamptz, size bigint, content bytea
) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  insert into app.archive_objects (tenant_id, key, size_bytes, sha256, retain_until, due_at, checked_at)
  values (owner, object_key, size, content, until, until - greatest(until - at, interval '0') / 3, at)
  on conflict do nothing
$$;

create function tenon.know_segment() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  packed jsonb := new.manifest::jsonb -> 'segment';
  bytes bytea := convert_to(new.manifest, 'UTF8');
begin
  perform tenon.know_object(new.tenant_id, new.segment_key, new.sealed_at, new.retain_until, (packed ->> 'gz_size_bytes')::bigint,
    decode(packed ->> 'gz_sha256', 'hex'));
  perform tenon.know_object(new.tenant_id, new.manifest_key, new.sealed_at, new.retain_until, octet_length(bytes),
    sha256(bytes));
  return null;
end
$$;
create trigger know_inserted_segment after insert on app.segments
  for each row when (new.state = 'sealed') execute function tenon.know_segment();
create trigger know_sealed_segment after update on app.segments
  for each row when (new.state = 'sealed' and old.state <> 'sealed') execute function tenon.know_segment();

create function tenon.know_platform_object() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tenon.know_object(new.tenant_id, new.key, new.archived_at, new.retain_until, null, null);
  return null;
end
$$;
create trigger know_archived_tick after update on app.platform_ticks
  for each row when (new.state = 'archived' and old.state <> 'archived') execute function tenon.know_platform_object();
create trigger know_archived_anchor after update on app.platform_anchors
  for each row when (new.archived_at is not null and old.archived_at is null)
  execute function tenon.know_platform_object();
create trigger know_archived_rotation after update on app.key_rotations
  for each row when (new.archived_at is not null and old.archived_at is null)
  execute function tenon.know_platform_object();
