-- For how long a tenant wants her archive kept, and legal holds. What changes here has its event in the same transaction,
-- and an erasure looks here in its own, so the tables stand beside the outbox and not beside the log.

-- The newest row holds; the others are the history.
create table app.retention_policies (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- UUIDv7.
  id uuid not null,
  days integer not null check (days between 1 and 36500),
  -- Public id of the actor.
  set_by text not null check (length(set_by) between 1 and 200),
  set_at timestamptz not null,
  primary key (tenant_id, id)
);
call tenon.protect_for_worker('app.retention_policies');
grant select, insert on app.retention_policies to tenon_app;

create table app.legal_holds (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  reason text not null check (length(reason) between 1 and 500),
  placed_by text not null check (length(placed_by) between 1 and 200),
  placed_at timestamptz not null,
  released_by text check (length(released_by) between 1 and 200),
  released_at timestamptz,
  primary key (tenant_id, id),
  check ((released_at is null) = (released_by is null)),
  -- It takes two.
  check (released_by <> placed_by)
);
create index legal_holds_standing on app.legal_holds (tenant_id) where released_at is null;
call tenon.protect_for_worker('app.legal_holds');
grant select, insert, update (released_by, released_at) on app.legal_holds to tenon_app;
