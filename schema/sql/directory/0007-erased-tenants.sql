-- What the directory keeps of an erased tenant: her id, where she lived, and when she was gone. Nobody gets her slug again,
-- for links to it are still out there; which it was, only its hash says.
create table app.retired_slugs (
  slug_sha256 bytea primary key check (octet_length(slug_sha256) = 32)
);
grant select on app.retired_slugs to tenon_app;
grant select, insert on app.retired_slugs to tenon_worker;

alter table app.tenants add column erased_at timestamptz;
grant update (slug, erased_at) on app.tenants to tenon_worker;
