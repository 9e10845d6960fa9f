-- The audit log: one RFC 6962 log per tenant and epoch. The worker appends, the application reads, nobody changes.

-- The head of each log: how many entries, and the right edge of the tree, which is all that appending needs.
create table app.log_heads (
  tenant_id uuid primary key default tenon.tenant_id(),
  epoch integer not null default 1,
  size bigint not null default 0,
  -- Leaf hash of the newest entry; the next one carries it as `prev`.
  last_leaf bytea check (octet_length(last_leaf) = 32),
  -- Roots of the complete subtrees on the right edge, largest first, in hex.
  frontier jsonb not null default '[]',
  sealed_size bigint not null default 0,
  next_segment integer not null default 0,
  -- Bytes that the entries beyond sealed_size take in a segment.
  unsealed_bytes bigint not null default 0,
  -- What keeps an event out of the log or the log out of the archive, until it does no more; for operators and auditors.
  alarm text,
  alarm_since timestamptz,
  updated_at timestamptz not null default now(),
  check (sealed_size between 0 and size),
  check ((alarm is null) = (alarm_since is null))
);
create index log_heads_unsealed on app.log_heads (tenant_id) where size > sealed_size;
create index log_heads_alarmed on app.log_heads (tenant_id) where alarm is not null;
call tenon.protect_for_worker('app.log_heads');
grant select on app.log_heads to tenon_app;
grant select, insert, update on app.log_heads to tenon_worker;

create table app.log_entries (
  tenant_id uuid not null default tenon.tenant_id(),
  epoch integer not null,
  seq bigint not null,
  event_id uuid not null,
  leaf bytea not null check (octet_length(leaf) = 32),
  -- The hashed bytes themselves (RFC 8785), so that nothing has to be put together again to check them.
  entry text not null,
  -- Copies for searching; the entry is the authority.
  ts timestamptz not null,
  action text not null,
  outcome text not null,
  actor_type text not null,
  -- Null for `anonymous` alone.
  actor_id text,
  resource_type text not null,
  resource_id text not null,
  primary key (tenant_id, epoch, seq),
  unique (tenant_id, event_id)
);
create index log_entries_by_actor on app.log_entries (tenant_id, actor_id, seq desc);
create index log_entries_by_action on app.log_entries (tenant_id, action, seq desc);
create index log_entries_by_resource on app.log_entries (tenant_id, resource_id, seq desc);
create index log_entries_by_time on app.log_entries (tenant_id, ts, seq desc);
call tenon.protect_for_worker('app.log_entries');
grant select on app.log_entries to tenon_app;
grant select, insert on app.log_entries to tenon_worker;

-- Roots of complete subtrees of 256^level leaves: a proof reads some hundred hashes, whatever the size of the log.
create table app.log_tiles (
  tenant_id uuid not null default tenon.tenant_id(),
  epoch integer not null,
  level integer not null check (level >= 1),
  index bigint not null,
  hash bytea not null check (octet_length(hash) = 32),
  primary key (tenant_id, epoch, level, index)
);
call tenon.protect_for_worker('app.log_tiles');
grant select on app.log_tiles to tenon_app;
grant select, insert on app.log_tiles to tenon_worker;

-- Events that the log cannot take: each stays in the cell's outbox, where nothing is lost, until a newer worker takes it
-- or an operator decides. What they name is missing from the log, so a verdict on completeness has to count them.
create table app.log_refusals (
  tenant_id uuid not null default tenon.tenant_id(),
  event_id uuid not null,
  -- Names the fault by its path in the event and repeats no value of it.
  reason text not null,
  refused_at timestamptz not null default now(),
  primary key (tenant_id, event_id)
);
call tenon.protect_for_worker('app.log_refusals');
grant select on app.log_refusals to tenon_app;
grant select, insert, delete on app.log_refusals to tenon_worker;

-- A run of entries on its way into the archive. Each state fixes what the next one writes, before a byte of it is
-- written, so that a retry after a crash writes the same: the plan fixes the entries, `segment_put` the manifest.
create table app.segments (
  tenant_id uuid not null default tenon.tenant_id(),
  epoch integer not null,
  number integer not null,
  state text not null check (state in ('planned', 'segment_put', 'manifest_put', 'sealed')),
  first_seq bigint not null,
  count integer not null check (count > 0),
  -- Of the uncompressed segment.
  size_bytes integer not null check (size_bytes > 0),
  sha256 bytea not null check (octet_length(sha256) = 32),
  -- Right edge of the tree of all entries up to the last of this segment, as in log_heads.
  frontier jsonb not null,
  segment_key text not null,
  manifest_key text,
  -- The manifest (RFC 8785 text), which carries the signed checkpoint; null until the segment stands in the archive.
  manifest text,
  checkpoint text,
  planned_at timestamptz not null,
  retain_until timestamptz not null,
  sealed_at timestamptz,
  primary key (tenant_id, epoch, number),
  check ((state = 'planned') = (manifest is null)),
  check ((manifest is null) = (manifest_key is null) and (manifest is null) = (checkpoint is null)),
  check ((state = 'sealed') = (sealed_at is not null))
);
create index segments_open on app.segments (state) where state <> 'sealed';
call tenon.protect_for_worker('app.segments');
grant select on app.segments to tenon_app;
grant select, insert, update on app.segments to tenon_worker;
