-- Saved views of the audit log: filters that somebody has given a name.
create table app.audit_views (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  -- Public id of the actor who made it: a personal view is hers alone, a shared one is seen by all who may read the log.
  owner_id text not null check (length(owner_id) between 1 and 200),
  name text not null check (length(name) between 1 and 100),
  shared boolean not null,
  -- The fields of the filter by the names of the graph; those that ask for nothing are left out.
  filter jsonb not null check (jsonb_typeof(filter) = 'object' and octet_length(filter::text) <= 16384),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, owner_id, name)
);
call tenon.protect('app.audit_views');
grant select, insert, update, delete on app.audit_views to tenon_app;
