-- The tenant as her cell knows her: the authority on name, tier and state.

create table app.tenants (
  tenant_id uuid primary key default tenon.tenant_id(),
  -- The same value under the name that entities have for it: the program never says tenant_id.
  id uuid generated always as (tenant_id) stored,
  slug text not null,
  name text not null check (length(name) between 1 and 200),
  tier text not null check (tier in ('FREE', 'GROWTH', 'ENTERPRISE', 'ENTERPRISE_PLUS')),
  region text not null,
  cell text not null,
  state text not null check (state in ('provisioning', 'trial', 'active', 'past_due', 'read_only', 'suspended',
    'cancelled', 'soft_deleted', 'erasing', 'erased')),
  -- When the tenant came into this state; some steps are allowed only days later.
  state_since timestamptz not null default now(),
  -- Counts the changes, so that the directory's copy can tell a newer row from an older one.
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
call tenon.protect('app.tenants');
grant select, insert, update on app.tenants to tenon_app;
