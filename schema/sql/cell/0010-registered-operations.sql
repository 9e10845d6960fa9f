-- Operations that a tenant has registered for one of its clients: the only ones that the client's keys may run.

create table app.registered_operations (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  client text not null check (client ~ '^[a-z][a-z0-9-]{0,62}$'),
  -- The id that requests name it by, without the `sha256:` before a hash.
  key text not null check (key ~ '^[A-Za-z0-9._~:-]+$' and length(key) <= 256),
  name text check (length(name) between 1 and 1000),
  kind text not null check (kind in ('query', 'mutation')),
  -- What runs is what was registered, to the byte; another text under the same id is another registration, and refused.
  body text not null check (octet_length(body) between 1 and 65536),
  body_hash text not null check (body_hash = encode(sha256(convert_to(body, 'UTF8')), 'hex')),
  -- Points that one run may be estimated at, whatever its variables; fixed at registration.
  cost_ceiling integer not null check (cost_ceiling >= 0),
  manifest_fingerprint text not null check (manifest_fingerprint ~ '^[0-9a-f]{64}$'),
  state text not null default 'PENDING' check (state in ('PENDING', 'APPROVED', 'REVOKED')),
  -- Public ids of the actors; a person who is gone stays named.
  registered_by text not null,
  registered_at timestamptz not null,
  approved_by text,
  approved_at timestamptz,
  revoked_by text,
  -- In an approved row the time, still to come when it was set, from which on it is as good as revoked.
  revoked_at timestamptz,
  expires_at timestamptz,
  last_used_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, client, key),
  check ((approved_by is null) = (approved_at is null)),
  check ((revoked_by is null) = (revoked_at is null)),
  check (state <> 'APPROVED' or approved_at is not null),
  check (state <> 'REVOKED' or revoked_at is not null)
);
create index registered_operations_by_manifest on app.registered_operations (tenant_id, manifest_fingerprint);
call tenon.protect('app.registered_operations');
grant select, insert, update on app.registered_operations to tenon_app;

-- When an operation ran last is nobody's news, so that writing it drops no cache.
create trigger announce_insert after insert on app.registered_operations
  for each statement execute function tenon.announce_change('operations');
create trigger announce_update
  after update of state, revoked_at, expires_at, body, cost_ceiling, client, key on app.registered_operations
  for each statement execute function tenon.announce_change('operations');

-- The built-in roles of the tenants there are get the new rights too. Row security binds the owner as it binds everyone,
-- so it is lifted for these statements; the lock of `alter table` keeps every other session out until it stands again.
alter table app.roles no force row level security;
update app.roles set scopes = scopes || array['operations:write', 'operations:approve']
  where built_in and name = 'admin' and not scopes && array['operations:write', 'operations:approve'];
update app.roles set scopes = scopes || array['schema:read']
  where built_in and name in ('admin', 'member', 'auditor') and not scopes && array['schema:read'];
alter table app.roles force row level security;
