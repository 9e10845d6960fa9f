-- The directory: where each tenant lives. Global, tiny, and without personal data; routing reads nothing else.

create schema app;
grant usage on schema tenon, app to tenon_app, tenon_worker;
grant select on tenon.migrations to tenon_worker;

create table app.tenants (
  id uuid primary key,
  slug text not null unique check (slug ~ '^[a-z][a-z0-9-]{1,38}[a-z0-9]$'),
  region text not null,
  cell text not null,
  placement text not null default 'pool' check (placement in ('pool', 'bridge', 'silo')),
  -- Copies of what the cell decides; the cell's row is the authority, `version` says which copy is newer.
  tier text not null,
  state text not null,
  version integer not null default 0,
  created_at timestamptz not null default now()
);
create index tenants_by_cell on app.tenants (cell, id);
grant select, insert, update on app.tenants to tenon_app;
grant select on app.tenants to tenon_worker;

-- An e-mail domain leads to a tenant once its owner has proven it; the primary key lets one tenant prove it, not two.
create table app.email_domains (
  domain text primary key check (domain = lower(domain) and length(domain) <= 253),
  tenant_id uuid not null references app.tenants (id),
  verified_at timestamptz not null default now()
);
grant select, insert, delete on app.email_domains to tenon_app;
grant select on app.email_domains to tenon_worker;
