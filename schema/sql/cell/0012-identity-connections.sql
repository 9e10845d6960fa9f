-- How the people of a tenant sign in: her identity providers, the e-mail domains she has proven, and what is under way.

create table app.identity_connections (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  kind text not null check (kind in ('oidc', 'saml')),
  name text not null check (length(name) between 1 and 200),
  -- Nobody signs in over a draft or a disabled one.
  state text not null default 'draft' check (state in ('draft', 'active', 'disabled')),
  -- What may be shown; its shape is that of the kind, checked when it is written and when it is read.
  settings jsonb not null check (jsonb_typeof(settings) = 'object' and octet_length(settings::text) <= 262144),
  -- The sealed client secret (OIDC) or private key (SAML); never shown.
  secret text check (octet_length(secret) <= 65536),
  -- Whether somebody unknown becomes a person of the tenant when she first signs in.
  jit boolean not null default false,
  -- The role that such a person is given.
  default_role_id uuid,
  -- The claim or attribute that names her groups.
  groups_attribute text check (length(groups_attribute) between 1 and 500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  primary key (tenant_id, id),
  unique (tenant_id, name),
  foreign key (tenant_id, default_role_id) references app.roles (tenant_id, id)
);
call tenon.protect('app.identity_connections');
grant select, insert, update, delete on app.identity_connections to tenon_app;

-- A domain that a tenant says is hers, and what she has to put into its DNS. Several tenants may say so; the one that
-- proves it stands in email_domains of the directory, which alone decides.
create table app.domain_proofs (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  domain text not null check (domain = lower(domain) and length(domain) between 3 and 253),
  -- The value of the TXT record; no secret, since DNS shows it to everyone.
  token text not null check (token ~ '^[\w-]{43}$'),
  verified_at timestamptz,
  -- When the record was last looked for, and since when it has not been found.
  checked_at timestamptz,
  missing_since timestamptz,
  -- Whether people of this domain sign in over a connection alone; those of break_glass_users keep every other way.
  sso_enforced boolean not null default false,
  -- The connection that its people are sent to; by default the oldest active one.
  connection_id uuid,
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, domain),
  foreign key (tenant_id, connection_id) references app.identity_connections (tenant_id, id),
  check (verified_at is not null or not sso_enforced)
);
create index domain_proofs_by_connection on app.domain_proofs (tenant_id, connection_id);
call tenon.protect('app.domain_proofs');
grant select, insert, update, delete on app.domain_proofs to tenon_app;

-- Who may sign in without the identity provider when all others must not: for the day on which it is down or misconfigured.
create table app.break_glass_users (
  tenant_id uuid not null default tenon.tenant_id(),
  user_id uuid not null,
  -- Public id of the actor; somebody who is gone stays named.
  named_by text not null,
  named_at timestamptz not null,
  primary key (tenant_id, user_id),
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade
);
call tenon.protect('app.break_glass_users');
grant select, insert, delete on app.break_glass_users to tenon_app;

-- A sign-in that has left for the identity provider and has not come back.
create table app.sign_in_flows (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  connection_id uuid not null,
  -- SHA-256 of the state that comes back, and of the cookie of the browser that it has to come back with.
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  browser_hash bytea not null check (octet_length(browser_hash) = 32),
  -- What the return is checked against, sealed: nonce and code verifier, or the id of the SAML request.
  sealed text not null check (octet_length(sealed) <= 16384),
  expires_at timestamptz not null,
  consumed_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, connection_id) references app.identity_connections (tenant_id, id) on delete cascade
);
create index sign_in_flows_by_expiry on app.sign_in_flows (tenant_id, expires_at);
create index sign_in_flows_by_connection on app.sign_in_flows (tenant_id, connection_id);
call tenon.protect('app.sign_in_flows');
grant select, insert, update, delete on app.sign_in_flows to tenon_app;

-- Who a subject of an identity provider is here.
create table app.identity_links (
  tenant_id uuid not null default tenon.tenant_id(),
  connection_id uuid not null,
  subject text not null check (length(subject) between 1 and 1024),
  user_id uuid not null,
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null,
  primary key (tenant_id, connection_id, subject),
  foreign key (tenant_id, connection_id) references app.identity_connections (tenant_id, id) on delete cascade,
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade
);
create index identity_links_by_user on app.identity_links (tenant_id, user_id);
call tenon.protect('app.identity_links');
grant select, insert, update, delete on app.identity_links to tenon_app;

-- Ids of assertions and logout tokens that were accepted; none of them is accepted again, on whatever replica.
create table app.used_assertions (
  tenant_id uuid not null default tenon.tenant_id(),
  connection_id uuid not null,
  id_hash bytea not null check (octet_length(id_hash) = 32),
  -- From then on it would be refused for its age.
  expires_at timestamptz not null,
  primary key (tenant_id, connection_id, id_hash),
  foreign key (tenant_id, connection_id) references app.identity_connections (tenant_id, id) on delete cascade
);
create index used_assertions_by_expiry on app.used_assertions (tenant_id, expires_at);
call tenon.protect('app.used_assertions');
-- Swept rows are locked, which takes the right to change them.
grant select, insert, update, delete on app.used_assertions to tenon_app;

-- A group has one writer of its members: a person, the SCIM client, or the connection whose sign-ins name it. All groups
-- there are came by SCIM.
alter table app.groups
  add column managed_by text not null default 'scim' check (managed_by in ('person', 'scim', 'sso')),
  add column managed_by_connection uuid,
  add foreign key (tenant_id, managed_by_connection) references app.identity_connections (tenant_id, id),
  add check ((managed_by = 'sso') = (managed_by_connection is not null));
create index groups_by_connection on app.groups (tenant_id, managed_by_connection);

alter table app.roles no force row level security;
update app.roles set scopes = scopes || array['identity:read', 'identity:write']
  where built_in and name = 'admin' and not scopes && array['identity:read', 'identity:write'];
update app.roles set scopes = scopes || array['identity:read']
  where built_in and name = 'auditor' and not scopes && array['identity:read'];
alter table app.roles force row level security;
