-- People, groups and roles of a tenant.

create table app.users (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  user_name text not null check (length(user_name) between 1 and 320),
  -- lower() is not leakproof, so below row security an index on the expression would never be used; on a column it is.
  user_name_folded text not null generated always as (lower(user_name)) stored,
  external_id text,
  display_name text,
  email text,
  email_folded text generated always as (lower(email)) stored,
  active boolean not null default true,
  -- Counts deactivations: a credential of an older epoch never works again, even when the user comes back.
  epoch integer not null default 1,
  -- The SCIM resource (RFC 7643) without the attributes that have a column of their own.
  resource jsonb not null default '{}',
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id)
);
-- RFC 7643 section 4.1.1: userName is unique without regard to case.
create unique index users_by_user_name on app.users (tenant_id, user_name_folded);
create index users_by_external_id on app.users (tenant_id, external_id);
create index users_by_email on app.users (tenant_id, email_folded);
call tenon.protect('app.users');
grant select, insert, update, delete on app.users to tenon_app;

create table app.groups (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  display_name text not null check (length(display_name) between 1 and 320),
  display_name_folded text not null generated always as (lower(display_name)) stored,
  external_id text,
  resource jsonb not null default '{}',
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id)
);
create unique index groups_by_display_name on app.groups (tenant_id, display_name_folded);
create index groups_by_external_id on app.groups (tenant_id, external_id);
call tenon.protect('app.groups');
grant select, insert, update, delete on app.groups to tenon_app;

create table app.group_members (
  tenant_id uuid not null default tenon.tenant_id(),
  group_id uuid not null,
  user_id uuid not null,
  primary key (tenant_id, group_id, user_id),
  foreign key (tenant_id, group_id) references app.groups (tenant_id, id) on delete cascade,
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade
);
create index group_members_by_user on app.group_members (tenant_id, user_id);
call tenon.protect('app.group_members');
grant select, insert, delete on app.group_members to tenon_app;

create table app.roles (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  name text not null check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
  scopes text[] not null,
  built_in boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
call tenon.protect('app.roles');
grant select, insert, update, delete on app.roles to tenon_app;

create table app.user_roles (
  tenant_id uuid not null default tenon.tenant_id(),
  user_id uuid not null,
  role_id uuid not null,
  granted_at timestamptz not null default now(),
  primary key (tenant_id, user_id, role_id),
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade,
  foreign key (tenant_id, role_id) references app.roles (tenant_id, id) on delete cascade
);
create index user_roles_by_role on app.user_roles (tenant_id, role_id);
call tenon.protect('app.user_roles');
grant select, insert, delete on app.user_roles to tenon_app;

-- A group of the identity provider gives its members a role.
create table app.group_roles (
  tenant_id uuid not null default tenon.tenant_id(),
  group_id uuid not null,
  role_id uuid not null,
  primary key (tenant_id, group_id, role_id),
  foreign key (tenant_id, group_id) references app.groups (tenant_id, id) on delete cascade,
  foreign key (tenant_id, role_id) references app.roles (tenant_id, id) on delete cascade
);
create index group_roles_by_role on app.group_roles (tenant_id, role_id);
call tenon.protect('app.group_roles');
grant select, insert, delete on app.group_roles to tenon_app;
