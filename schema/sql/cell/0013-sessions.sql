-- What is known of a session beside its credential, and what an app is handed in place of it: a one-time code after the
-- sign-in, then access tokens that are not stored at all and refresh tokens that are used once.

alter table app.credentials
  -- Written at most once a minute, and announced to nobody.
  add column last_used_at timestamptz,
  -- Networks (CIDR) that it may be used from; empty for everywhere.
  add column allowed_networks text[] not null default '{}' check (cardinality(allowed_networks) <= 100),
  -- The key that takes its place, once it is rotated.
  add column replaced_by uuid,
  add foreign key (tenant_id, replaced_by) references app.credentials (tenant_id, id) on delete set null (replaced_by);
create index credentials_by_replacement on app.credentials (tenant_id, replaced_by);

-- Counts the moments at which everything signed for the tenant lost its worth.
alter table app.tenants add column epoch integer not null default 1;
drop trigger announce_update on app.tenants;
create trigger announce_update after update on app.tenants for each row
when ((old.tier, old.state, old.region, old.cell, old.epoch)
  is distinct from (new.tier, new.state, new.region, new.cell, new.epoch))
execute function tenon.announce_change('credentials');

drop trigger announce_update on app.credentials;
create trigger announce_update after update on app.credentials for each row
when (old.kind <> 'sign_in_link' and
  (old.kind, old.user_id, old.client, old.scopes, old.secret_hash, old.epoch, old.expires_at, old.revoked_at,
    old.allowed_networks)
  is distinct from
  (new.kind, new.user_id, new.client, new.scopes, new.secret_hash, new.epoch, new.expires_at, new.revoked_at,
    new.allowed_networks))
execute function tenon.announce_change('credentials');

create table app.sessions (
  tenant_id uuid not null default tenon.tenant_id(),
  -- The credential of the session.
  id uuid not null,
  user_id uuid not null,
  method text not null check (method ~ '^[a-z_]{1,32}$'),
  -- Authentication methods in the words of RFC 8176.
  amr text[] not null default '{}',
  -- Who vouched, and what she and her session are called there, so that a logout there can name it.
  connection_id uuid,
  subject text check (length(subject) between 1 and 1024),
  provider_session text check (length(provider_session) between 1 and 1024),
  ip text check (length(ip) <= 64),
  user_agent text check (length(user_agent) <= 256),
  created_at timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, id) references app.credentials (tenant_id, id) on delete cascade,
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade,
  foreign key (tenant_id, connection_id) references app.identity_connections (tenant_id, id)
    on delete set null (connection_id),
  check (connection_id is null or subject is not null)
);
create index sessions_by_user on app.sessions (tenant_id, user_id);
create index sessions_by_subject on app.sessions (tenant_id, connection_id, subject);
create index sessions_by_provider_session on app.sessions (tenant_id, connection_id, provider_session);
call tenon.protect('app.sessions');
grant select, insert, update, delete on app.sessions to tenon_app;

-- One line of refresh tokens a session: each is used once, and a second use ends the session (RFC 9700 section 4.14.2).
create table app.refresh_tokens (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  session_id uuid not null,
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  created_at timestamptz not null,
  used_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, session_id) references app.credentials (tenant_id, id) on delete cascade
);
create index refresh_tokens_by_session on app.refresh_tokens (tenant_id, session_id);
call tenon.protect('app.refresh_tokens');
grant select, insert, update, delete on app.refresh_tokens to tenon_app;

-- What a browser carries from the sign-in to an app, which exchanges it within a minute (RFC 6749 section 4.1.2).
create table app.authorization_codes (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  session_id uuid not null,
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  redirect_uri text not null check (length(redirect_uri) between 1 and 2048),
  -- SHA-256 of the app's verifier (RFC 7636, S256), in base64url.
  code_challenge text not null check (code_challenge ~ '^[\w-]{43}$'),
  expires_at timestamptz not null,
  used_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, session_id) references app.credentials (tenant_id, id) on delete cascade
);
create index authorization_codes_by_session on app.authorization_codes (tenant_id, session_id);
call tenon.protect('app.authorization_codes');
grant select, insert, update, delete on app.authorization_codes to tenon_app;
