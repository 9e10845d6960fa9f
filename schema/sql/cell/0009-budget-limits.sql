-- What a tenant's budgets differ in from those of her tier: an operator raises or lowers the whole, she herself lowers
-- what one of her partners' clients may spend.

create table app.budget_limits (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- The registered client that a row lowers; empty in the operators' row, which is about the whole tenant.
  client text not null default '' check (client = '' or client ~ '^[a-z][a-z0-9-]{0,62}$'),
  -- The numbers that differ. Of a client {points: {query, mutation, bulk}, requests}, each {capacity, restorePerSecond};
  -- of the tenant {maxQueryCost, concurrency, tenant, client, user}, where the last three are shaped like a client's.
  limits jsonb not null check (jsonb_typeof(limits) = 'object' and length(limits::text) <= 4000),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, client)
);
call tenon.protect('app.budget_limits');
grant select, insert, update, delete on app.budget_limits to tenon_app;

create trigger announce_change after insert or update or delete on app.budget_limits for each row
execute function tenon.announce_change('limits');
