-- Whose store this database is: written once, when it is made, and compared by whoever connects. A database belongs to one
-- cell for good; what moves between cells is tenants. An address that leads to another region is found out here.
create table tenon.store (
  singular boolean primary key default true check (singular),
  kind text not null check (kind in ('cell', 'audit')),
  cell text not null,
  region text not null,
  stamped_at timestamptz not null default now()
);
revoke all on tenon.store from public;
grant select on tenon.store to tenon_app, tenon_worker;
