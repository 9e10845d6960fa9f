-- Moves of tenants between stores, in a cell or from one to another. A move is driven by the worker, step by step, and this row is all that it remembers.

create table app.tenant_moves (
  -- UUIDv7.
  id uuid primary key,
  tenant_id uuid not null references app.tenants (id),
  from_cell text not null check (length(from_cell) <= 64),
  from_store text not null default 'pool',
  to_cell text not null check (length(to_cell) <= 64),
  to_store text not null default 'pool',
  phase text not null default 'requested'
    check (phase in ('requested', 'copying', 'following', 'switching', 'removing', 'done', 'cancelling', 'cancelled')),
  reason text not null check (length(reason) between 1 and 500),
  -- Public id of the actor.
  requested_by text not null check (length(requested_by) between 1 and 200),
  requested_at timestamptz not null,
  cancel_requested_at timestamptz,
  -- Rows copied, of about so many.
  progress_done bigint not null default 0,
  progress_total bigint,
  -- How often she was held, and what kept the last try from its end.
  fences integer not null default 0,
  obstacle text check (length(obstacle) <= 1000),
  -- How long she was held in the end, and how many rows were compared meanwhile: those that had changed since all were.
  fence_ms integer,
  compared_rows bigint,
  -- What she was when she left: {store, table, rows, sha256}.
  sums jsonb,
  -- What stays in the archive that she left: {objects, lockedUntil}.
  left_objects jsonb,
  switched_at timestamptz,
  -- Rows removed where she was.
  removed bigint not null default 0,
  ended_at timestamptz,
  -- A DSSE envelope.
  certificate text,
  check ((from_cell, from_store) <> (to_cell, to_store)),
  check ((phase in ('done', 'cancelled')) = (ended_at is not null))
);
create unique index tenant_moves_open on app.tenant_moves (tenant_id) where ended_at is null;
create index tenant_moves_by_tenant on app.tenant_moves (tenant_id, id desc);
grant select, insert on app.tenant_moves to tenon_app;
grant update (cancel_requested_at) on app.tenant_moves to tenon_app;
grant select, update on app.tenant_moves to tenon_worker;
grant update (region, cell, placement, store) on app.tenants to tenon_worker;

-- When a tenant has left a store that was hers alone: nobody else is given it.
alter table app.stores add column left_at timestamptz;
grant update (tenant_id, left_at) on app.stores to tenon_worker;
