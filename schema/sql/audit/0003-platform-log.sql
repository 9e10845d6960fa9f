-- The platform log of the cell: one RFC 6962 log whose ticks commit, every minute, to the head of every tenant's log; and
-- what became of the mutations that gateways let through. The rows of the log itself belong to the platform, under an id
-- that no tenant can have: no tenant's context reads one, and a gateway reads them under the platform's own.

-- What happened to the platform and waits to become an entry.
create table app.platform_events (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  position bigint generated always as identity,
  type text not null check (length(type) <= 100),
  -- Canonical JSON (RFC 8785) as text: what is hashed later is what was written here, to the byte.
  detail text not null check (octet_length(detail) <= 16384),
  at timestamptz not null,
  primary key (tenant_id, position)
);
call tenon.protect_for_worker('app.platform_events');
grant select, insert, delete on app.platform_events to tenon_worker;

-- The head of the log: how far it is planned, and the right edge of its tree.
create table app.platform_log (
  tenant_id uuid primary key default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  epoch integer not null default 1,
  next_tick integer not null default 0,
  size bigint not null default 0,
  last_leaf bytea check (octet_length(last_leaf) = 32),
  -- As in log_heads.
  frontier jsonb not null default '[]',
  -- When the newest tick was planned.
  ticked_at timestamptz,
  -- All hours before are reconciled: what gateways let through was held against the log. Null before the first.
  reconciled_until timestamptz,
  -- What keeps the newest ticks out of the archive, until it does no more; for operators.
  alarm text,
  alarm_since timestamptz,
  check ((alarm is null) = (alarm_since is null))
);
call tenon.protect_for_worker('app.platform_log');
grant select on app.platform_log to tenon_app;
grant select, insert, update on app.platform_log to tenon_worker;

-- A tick is one object of the archive. Each state fixes what the next one writes: the plan fixes entries and heads,
-- `signed` the checkpoint. Nothing is signed before the archive holds its text under the number, where it takes no other.
create table app.platform_ticks (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  epoch integer not null,
  tick integer not null,
  -- `abandoned`: the number was another one's in the archive, or behind the end of the epoch, so the next one began.
  state text not null check (state in ('planned', 'signed', 'archived', 'abandoned')),
  at timestamptz not null,
  first_number bigint not null,
  count integer not null check (count > 0),
  -- The root over all entries up to the last of this tick.
  root bytea not null check (octet_length(root) = 32),
  -- Right edge of that tree.
  frontier jsonb not null,
  -- How many logs the tick's tree of heads has.
  logs integer not null,
  retain_until timestamptz not null,
  checkpoint text,
  -- Of the uncompressed object.
  sha256 bytea check (octet_length(sha256) = 32),
  key text,
  archived_at timestamptz,
  primary key (tenant_id, epoch, tick),
  check ((state in ('signed', 'archived')) = (checkpoint is not null)),
  check ((checkpoint is null) = (sha256 is null) and (checkpoint is null) = (key is null)),
  check ((state = 'archived') = (archived_at is not null))
);
create index platform_ticks_open on app.platform_ticks (epoch, tick) where state in ('planned', 'signed');
call tenon.protect_for_worker('app.platform_ticks');
grant select on app.platform_ticks to tenon_app;
grant select, insert, update on app.platform_ticks to tenon_worker;

create table app.platform_entries (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  epoch integer not null,
  number bigint not null,
  tick integer not null,
  leaf bytea not null check (octet_length(leaf) = 32),
  -- The hashed bytes (RFC 8785).
  entry text not null,
  primary key (tenant_id, epoch, number)
);
call tenon.protect_for_worker('app.platform_entries');
grant select on app.platform_entries to tenon_app;
grant select, insert on app.platform_entries to tenon_worker;

-- As log_tiles.
create table app.platform_tiles (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  epoch integer not null,
  level integer not null check (level >= 1),
  index bigint not null,
  hash bytea not null check (octet_length(hash) = 32),
  primary key (tenant_id, epoch, level, index)
);
call tenon.protect_for_worker('app.platform_tiles');
grant select on app.platform_tiles to tenon_app;
grant select, insert on app.platform_tiles to tenon_worker;

-- Heads of tenants' logs as ticks have committed to them: one row where a head changed, so the tree of any tick can be
-- made again from the newest row of each log up to that tick.
create table app.platform_heads (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  epoch integer not null,
  -- Whose log it is, and its epoch.
  owner uuid not null,
  log_epoch integer not null,
  tick integer not null,
  size bigint not null check (size >= 0),
  root bytea not null check (octet_length(root) = 32),
  -- Reconciled since the tenant began: mutations that gateways let through, and those of them that an event speaks of.
  mutations bigint not null check (mutations >= 0),
  events bigint not null check (events >= 0),
  primary key (tenant_id, epoch, owner, log_epoch, tick)
);
create index platform_heads_by_tick on app.platform_heads (epoch, tick);
create index platform_heads_by_size on app.platform_heads (epoch, owner, log_epoch, size);
call tenon.protect_for_worker('app.platform_heads');
grant select on app.platform_heads to tenon_app;
grant select, insert on app.platform_heads to tenon_worker;

-- Completeness: what gateways let through against what the log holds, by tenant and hour.
create table app.mutation_hours (
  tenant_id uuid not null default tenon.tenant_id(),
  hour timestamptz not null check (extract(epoch from hour)::bigint % 3600 = 0),
  mutations bigint not null check (mutations >= 0),
  events bigint not null check (events between 0 and mutations),
  reconciled_at timestamptz not null,
  primary key (tenant_id, hour)
);
create index mutation_hours_by_hour on app.mutation_hours (hour);
call tenon.protect_for_worker('app.mutation_hours');
grant select on app.mutation_hours to tenon_app;
grant select, insert, update on app.mutation_hours to tenon_worker;

create table app.mutation_totals (
  tenant_id uuid primary key default tenon.tenant_id(),
  mutations bigint not null check (mutations >= 0),
  events bigint not null check (events between 0 and mutations),
  -- The notes that were counted last: those of a worker that ended before it could delete them are not counted again.
  last_batch uuid not null
);
call tenon.protect_for_worker('app.mutation_totals');
grant select on app.mutation_totals to tenon_app;
grant select, insert, update on app.mutation_totals to tenon_worker;

-- Mutations that no event speaks of.
create table app.missing_events (
  tenant_id uuid not null default tenon.tenant_id(),
  request_id text not null,
  action text not null,
  hour timestamptz not null,
  -- How many mutations of this action the request made, and how many events of it the log held.
  mutations integer not null check (mutations > 0),
  events integer not null check (events between 0 and mutations),
  missed_at timestamptz not null,
  -- When the events were found after all, or somebody has said why there are none.
  found_at timestamptz,
  acknowledged_at timestamptz,
  reason text check (length(reason) between 1 and 500),
  primary key (tenant_id, request_id, action),
  check ((acknowledged_at is null) = (reason is null))
);
create index missing_events_open on app.missing_events (tenant_id) where found_at is null and acknowledged_at is null;
call tenon.protect_for_worker('app.missing_events');
grant select on app.missing_events to tenon_app;
grant select, insert, update on app.missing_events to tenon_worker;

-- Alarms at a tenant's log, or under the platform's id at that of the platform, of what is looked after beside sequencing
-- and sealing, whose own alarm stands in log_heads: each kind is raised and ended by one part of the worker alone.
create table app.log_alarms (
  tenant_id uuid not null default tenon.tenant_id(),
  kind text not null check (kind in ('completeness', 'archive', 'shrunk', 'privacy')),
  sentence text not null check (length(sentence) between 1 and 500),
  since timestamptz not null,
  primary key (tenant_id, kind)
);
call tenon.protect_for_worker('app.log_alarms');
grant select on app.log_alarms to tenon_app;
grant select, insert, update, delete on app.log_alarms to tenon_worker;
