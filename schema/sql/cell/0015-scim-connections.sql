-- Who provisions the people of a tenant, how her requests are understood, what she may change, and what she has asked.

create table app.scim_connections (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  name text not null check (length(name) between 1 and 200),
  -- Which deviations from RFC 7644 are read as what their sender means.
  profile text not null check (profile in ('strict', 'okta_oin', 'okta_aiw', 'entra', 'entra_flagged', 'google',
    'onelogin', 'jumpcloud', 'ping')),
  state text not null default 'active' check (state in ('active', 'disabled')),
  -- The one of tokens that name none.
  is_default boolean not null default false,
  -- The attributes of her people that she alone writes.
  manages text[] not null default '{profile,active,groups}' check (manages <@ array['profile', 'active', 'groups']),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
create unique index scim_connections_default on app.scim_connections (tenant_id) where is_default;
call tenon.protect('app.scim_connections');
grant select, insert, update, delete on app.scim_connections to tenon_app;

alter table app.credentials
  add column scim_connection_id uuid,
  add foreign key (tenant_id, scim_connection_id) references app.scim_connections (tenant_id, id)
    on delete set null (scim_connection_id),
  add check (scim_connection_id is null or kind = 'scim_token');
create index credentials_by_scim_connection on app.credentials (tenant_id, scim_connection_id);

-- A person has one provisioning client; the other column says that it was this one that ended her access.
alter table app.users
  add column provisioned_by uuid,
  add column deactivated_by uuid,
  add foreign key (tenant_id, provisioned_by) references app.scim_connections (tenant_id, id)
    on delete set null (provisioned_by),
  add foreign key (tenant_id, deactivated_by) references app.scim_connections (tenant_id, id)
    on delete set null (deactivated_by);
create index users_by_provisioning on app.users (tenant_id, provisioned_by);
create index users_by_deactivation on app.users (tenant_id, deactivated_by);

-- The latest requests of a connection, for the customer's administrator: names and counts, never a value.
create table app.scim_requests (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  connection_id uuid not null,
  token_id uuid not null,
  at timestamptz not null,
  method text not null check (method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
  -- The address with :id in place of ids.
  path text not null check (length(path) <= 100),
  resource_id text check (length(resource_id) <= 64),
  status integer not null check (status between 100 and 599),
  -- The code of the error table, and the form that the profile does not take, where it was refused.
  code text check (length(code) <= 64),
  refused_form text check (length(refused_form) <= 64),
  duration_ms integer not null check (duration_ms >= 0),
  -- Audit actions, canonical names of attributes, and names of rewrites.
  actions text[] not null default '{}' check (cardinality(actions) <= 16),
  attributes text[] not null default '{}' check (cardinality(attributes) <= 100),
  rewrites text[] not null default '{}' check (cardinality(rewrites) <= 32),
  request_id text not null check (length(request_id) <= 64),
  -- The end of access that it brought about.
  revocation_id uuid,
  primary key (tenant_id, id),
  foreign key (tenant_id, connection_id) references app.scim_connections (tenant_id, id) on delete cascade
);
create index scim_requests_by_connection on app.scim_requests (tenant_id, connection_id, id);
create index scim_requests_by_resource on app.scim_requests (tenant_id, resource_id, id);
call tenon.protect('app.scim_requests');
grant select, insert, delete on app.scim_requests to tenon_app;
