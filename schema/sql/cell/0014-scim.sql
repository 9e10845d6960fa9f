-- What a tenant adds to the standard schemas of SCIM.

create table app.scim_extensions (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- The URN of the schema; its values stand under it in the document of a user or group.
  urn text not null check (urn ~ '^urn:' and length(urn) <= 200),
  resource_type text not null check (resource_type in ('User', 'Group')),
  name text not null check (length(name) between 1 and 100),
  description text not null check (length(description) <= 500),
  -- Attributes of RFC 7643 section 7, checked when they are written.
  attributes jsonb not null check (jsonb_typeof(attributes) = 'array' and octet_length(attributes::text) <= 262144),
  -- Another one after each change, so that what was derived from it can be kept until then.
  revision uuid not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, urn)
);
call tenon.protect('app.scim_extensions');
grant select, insert, update, delete on app.scim_extensions to tenon_app;
