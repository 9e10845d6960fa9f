-- What the worker does to keep sign-in in order, tenant by tenant and under the context of each: domains are looked up again,
-- metadata are read again, certificates that end are warned of, and what has expired goes.

grant update (verified_at, checked_at, missing_since, sso_enforced) on app.domain_proofs to tenon_worker;
grant update (settings, version, updated_at) on app.identity_connections to tenon_worker;

-- An event is written under the context of its tenant or not at all; the worker drains for all of them, but speaks for one.
grant insert on app.outbox to tenon_worker;
create policy worker_speaks_for_one on app.outbox as restrictive for insert to tenon_worker
  with check (tenant_id = (select tenon.tenant_id()));

-- Swept rows are locked, which takes the right to change them; the wall holds this column at the value it has.
grant delete, update (tenant_id) on
  app.sign_in_flows, app.used_assertions, app.spent_challenges, app.pending_sign_ins,
  app.authorization_codes, app.refresh_tokens, app.sign_in_attempts
  to tenon_worker;

create index authorization_codes_by_expiry on app.authorization_codes (tenant_id, expires_at);
