-- How people sign in whom no identity provider vouches for: what they hold, what is under way, and what stops guessing.

-- A passkey (WebAuthn) or an authenticator application (TOTP, RFC 6238).
create table app.sign_in_factors (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  user_id uuid not null,
  kind text not null check (kind in ('passkey', 'totp')),
  name text not null check (length(name) between 1 and 100),
  -- Until a code has confirmed it, an authenticator application counts for nothing.
  confirmed_at timestamptz,
  last_used_at timestamptz,
  created_at timestamptz not null,
  -- Of a passkey: its id, its public key (COSE), the last counter it showed, and whether it is copied between devices.
  credential_id bytea check (octet_length(credential_id) between 16 and 1023),
  public_key bytea check (octet_length(public_key) <= 4096),
  sign_count bigint check (sign_count between 0 and 4294967295),
  transports text[],
  backed_up boolean,
  -- Of an authenticator application: its sealed seed, and the last time step whose code was used.
  sealed_seed text check (octet_length(sealed_seed) <= 1024),
  last_step bigint,
  primary key (tenant_id, id),
  unique (tenant_id, credential_id),
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade,
  check (case kind
    when 'passkey' then num_nulls(confirmed_at, credential_id, public_key, sign_count, transports, backed_up) = 0
      and num_nonnulls(sealed_seed, last_step) = 0
    else sealed_seed is not null and num_nonnulls(credential_id, public_key, sign_count, transports, backed_up) = 0 end)
);
create index sign_in_factors_by_user on app.sign_in_factors (tenant_id, user_id);
-- One that counts, and one that may take its place.
create unique index sign_in_factors_totp on app.sign_in_factors (tenant_id, user_id, (confirmed_at is not null))
  where kind = 'totp';
call tenon.protect('app.sign_in_factors');
grant select, insert, update, delete on app.sign_in_factors to tenon_app;

-- For the day on which the authenticator is lost.
create table app.recovery_codes (
  tenant_id uuid not null default tenon.tenant_id(),
  user_id uuid not null,
  -- SHA-256 of 80 random bits: nothing to guess, so no slow hash is needed.
  code_hash bytea not null check (octet_length(code_hash) = 32),
  created_at timestamptz not null,
  used_at timestamptz,
  primary key (tenant_id, user_id, code_hash),
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade
);
call tenon.protect('app.recovery_codes');
grant select, insert, update, delete on app.recovery_codes to tenon_app;

-- Somebody who has proven the first factor and owes the second.
create table app.pending_sign_ins (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  user_id uuid not null,
  -- SHA-256 of 256 random bits.
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  -- The epoch of the user when this was made: it ends with her deactivation.
  epoch integer not null,
  -- What the audit event of the session is to say of the first factor.
  context jsonb not null,
  -- The app that waits for her; null where none does.
  continuation jsonb check (octet_length(continuation::text) <= 8192),
  expires_at timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade
);
create index pending_sign_ins_by_user on app.pending_sign_ins (tenant_id, user_id);
create index pending_sign_ins_by_expiry on app.pending_sign_ins (tenant_id, expires_at);
call tenon.protect('app.pending_sign_ins');
grant select, insert, update, delete on app.pending_sign_ins to tenon_app;

-- Challenges of passkeys that were answered; none of them is taken again, on whatever replica. Giving one out writes
-- nothing, so that nobody fills a table by asking.
create table app.spent_challenges (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  challenge_hash bytea not null check (octet_length(challenge_hash) = 32),
  -- From then on it would be refused for its age.
  expires_at timestamptz not null,
  primary key (tenant_id, challenge_hash)
);
create index spent_challenges_by_expiry on app.spent_challenges (tenant_id, expires_at);
call tenon.protect('app.spent_challenges');
grant select, insert, update, delete on app.spent_challenges to tenon_app;

-- Failed attempts in a row, by account (the id of the person) and by address that they came from.
create table app.sign_in_attempts (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  subject text not null check (length(subject) between 1 and 100),
  user_id uuid,
  failures integer not null check (failures >= 0),
  last_failed_at timestamptz not null,
  locked_until timestamptz,
  primary key (tenant_id, subject),
  foreign key (tenant_id, user_id) references app.users (tenant_id, id) on delete cascade,
  check (user_id is null or subject = user_id::text)
);
create index sign_in_attempts_by_user on app.sign_in_attempts (tenant_id, user_id);
create index sign_in_attempts_by_time on app.sign_in_attempts (tenant_id, last_failed_at);
call tenon.protect('app.sign_in_attempts');
grant select, insert, update, delete on app.sign_in_attempts to tenon_app;

-- What a tenant asks of those who sign in without an identity provider; without a row, what the defaults here say.
create table app.sign_in_policies (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  local_methods text[] not null default '{sign_in_link,passkey}'
    check (cardinality(local_methods) between 1 and 2 and local_methods <@ '{sign_in_link,passkey}'),
  require_second_factor boolean not null default false,
  updated_at timestamptz not null,
  primary key (tenant_id)
);
call tenon.protect('app.sign_in_policies');
grant select, insert, update on app.sign_in_policies to tenon_app;
