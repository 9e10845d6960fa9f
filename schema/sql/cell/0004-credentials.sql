-- Everything that proves who asks: sessions, API keys, SCIM tokens and one-time sign-in links. One table, so that one
-- statement reads any of them and one statement ends all of a person's.

create table app.credentials (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  kind text not null check (kind in ('session', 'api_key', 'scim_token', 'sign_in_link')),
  user_id uuid,
  name text not null check (length(name) between 1 and 200),
  -- The registered client of an API key; its persisted operations are the only ones the key may run.
  client text check (client ~ '^[a-z][a-z0-9-]{0,62}$'),
  -- Rights of a key or token; a session has those of its user's roles instead.
  scopes text[] not null default '{}',
  -- SHA-256 of 256 random bits: nothing to guess, so no slow hash is needed.
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  -- The epoch of the user when this was issued.
  epoch integer not null default 0,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade,
  check (kind not in ('session', 'sign_in_link') or user_id is not null),
  check ((kind = 'api_key') = (client is not null))
);
create index credentials_by_user on app.credentials (tenant_id, user_id);
call tenon.protect('app.credentials');
grant select, insert, update, delete on app.credentials to tenon_app;
