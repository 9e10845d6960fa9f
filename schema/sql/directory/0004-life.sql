-- How long each part of a tenant's life lasts, tier by tier; operators change it while the platform runs. What a tier does
-- not say is as the program starts with.
create table app.life_days (
  tier text primary key check (tier in ('FREE', 'GROWTH', 'ENTERPRISE', 'ENTERPRISE_PLUS')),
  -- {trial, trialGraceHours, readOnlyAfter, suspendAfter, deleteSuspendedAfter, deleteCancelledAfter, eraseAfter}.
  days jsonb not null default '{}' check (jsonb_typeof(days) = 'object' and length(days::text) <= 1000),
  updated_at timestamptz not null default now()
);
grant select, update on app.life_days to tenon_app;
grant select on app.life_days to tenon_worker;
insert into app.life_days (tier) values ('FREE'), ('GROWTH'), ('ENTERPRISE'), ('ENTERPRISE_PLUS');

-- The clock takes steps in the worker, and the copies here follow.
grant update (tier, state, version) on app.tenants to tenon_worker;

-- How often somebody tried to sign up, by a keyed hash of the address: whose it is stands nowhere. Rows of past days go.
create table app.sign_up_attempts (
  subject bytea not null check (octet_length(subject) = 32),
  day date not null,
  attempts integer not null default 1,
  primary key (subject, day)
);
grant select, insert, update, delete on app.sign_up_attempts to tenon_app;
