-- Stores of a cell beside its pool: a database (silo) or a schema (bridge) for one tenant each. They are made before anybody
-- needs one, so that making a tenant takes no right to make databases.

alter table app.tenants add column store text not null default 'pool',
  add constraint tenants_store check (split_part(store, '_', 1) = placement);

-- Names of stores are given once, also where one was removed.
create sequence app.store_numbers maxvalue 999999;

create table app.stores (
  cell text not null,
  name text not null check (name ~ '^(silo_[1-9][0-9]{0,5}|bridge_[1-9][0-9]{0,5}_[1-9][0-9]{0,5})$'),
  -- Null while nobody lives there. A store is given once: where its tenant has left, it is removed.
  tenant_id uuid unique references app.tenants (id),
  -- How many migrations it stands at.
  version integer not null default 0,
  migrated_at timestamptz,
  -- The sentence with which its last migration failed.
  fault text,
  created_at timestamptz not null default now(),
  primary key (cell, name)
);
create index stores_free on app.stores (cell, name) where tenant_id is null;
grant select, update (tenant_id) on app.stores to tenon_app;
grant select on app.stores to tenon_worker;
