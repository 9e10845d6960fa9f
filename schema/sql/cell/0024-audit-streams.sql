-- Streams: receivers to which a tenant has her audit log sent, and how far each of them has come. What changes here has
-- its event in the same transaction, so the table stands beside the outbox and not beside the log.
create table app.audit_streams (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  name text not null check (length(name) between 1 and 100),
  kind text not null check (kind in ('webhook', 'splunk', 'datadog', 's3', 'syslog')),
  form text not null check (form in ('native', 'ocsf', 'cloudevents')),
  endpoint text not null check (length(endpoint) between 1 and 2048),
  -- What a kind of receiver needs beside its address.
  settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object' and octet_length(settings::text) <= 32768),
  -- Key, token or password, sealed; never shown.
  sealed_secret text check (octet_length(sealed_secret) <= 8192),
  -- Only these actions (`user.*` stands for all that begin with `user.`) and outcomes; all where there is none.
  actions text[] not null default '{}' check (cardinality(actions) <= 50),
  outcomes text[] not null default '{}' check (cardinality(outcomes) <= 3),
  -- Whether an entry waits for its seal, so that its proof goes with it.
  proofs boolean not null default true,
  -- Whoever is `failing` has failed for a day, and is tried further.
  state text not null default 'active' check (state in ('active', 'paused', 'failing')),
  -- The entry that comes next.
  epoch integer not null check (epoch >= 1),
  next_seq bigint not null check (next_seq >= 0),
  delivered bigint not null default 0 check (delivered >= 0),
  delivered_at timestamptz,
  -- Attempts in a row that failed: since when, why the last one did, and until when the receiver is left in peace.
  failures integer not null default 0 check (failures >= 0),
  failing_since timestamptz,
  failure text check (length(failure) <= 500),
  retry_at timestamptz,
  -- Who sends now, and until when she is waited for.
  lease uuid,
  leased_until timestamptz,
  attempted_at timestamptz,
  -- A test is sent where it was asked for later than one was sent.
  test_requested_at timestamptz,
  tested_at timestamptz,
  test_failure text check (length(test_failure) <= 500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
call tenon.protect_for_worker('app.audit_streams');
grant select, insert, delete on app.audit_streams to tenon_app;
grant update (name, form, endpoint, settings, sealed_secret, actions, outcomes, proofs, state, failures, failing_since,
    failure, retry_at, test_requested_at, updated_at)
  on app.audit_streams to tenon_app;
grant select on app.audit_streams to tenon_worker;
grant update (state, epoch, next_seq, delivered, delivered_at, failures, failing_since, failure, retry_at, lease,
    leased_until, attempted_at, tested_at, test_failure)
  on app.audit_streams to tenon_worker;
