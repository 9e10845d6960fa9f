-- What a tenant's users consumed. Append-only: what was reported stays as it was reported, for audit and for rating again.

create table app.usage_events (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- The reporter's own key: what is sent again under it counts once.
  idempotency text not null check (idempotency ~ '^[!-~]{1,200}$'),
  id uuid not null,
  -- A user of the identity subgraph; no foreign key, since what was consumed outlives who consumed it.
  user_id uuid,
  metric text not null check (metric ~ '^[a-z][a-z0-9_]{0,62}$'),
  -- The upper bound also refuses NaN, which PostgreSQL sorts above every number.
  value numeric not null check (value >= 0 and value <= 1e18 and scale(value) <= 12),
  ts timestamptz not null,
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  -- SHA-256 over what was reported, to tell a repetition from another event under the same key.
  fingerprint bytea not null check (octet_length(fingerprint) = 32),
  received_at timestamptz not null default now(),
  primary key (tenant_id, idempotency),
  unique (tenant_id, id)
);
create index usage_events_by_metric on app.usage_events (tenant_id, metric, ts);
create index usage_events_by_user on app.usage_events (tenant_id, user_id, ts) where user_id is not null;
call tenon.protect('app.usage_events');
-- No update and no delete: not by the application, whatever it is made to say.
grant select, insert on app.usage_events to tenon_app;
