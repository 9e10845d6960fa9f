-- Operators whom a tenant lets in: who asked, who decided, until when; and what the role may do that they act as.

create table app.support_grants (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- UUIDv7; also of the credential.
  id uuid not null,
  -- Public id of the operator, who is a user of the operators' own tenant.
  operator text not null check (length(operator) between 1 and 200),
  reason text not null check (length(reason) between 10 and 1000),
  ticket text not null check (length(ticket) between 1 and 100),
  access text not null check (access in ('read', 'work')),
  personal_data boolean not null,
  minutes integer not null check (minutes between 5 and 480),
  -- All times are of this database's clock.
  requested_at timestamptz not null default clock_timestamp(),
  decided_at timestamptz,
  -- Public id of whoever decided.
  decided_by text check (length(decided_by) between 1 and 200),
  approved boolean,
  expires_at timestamptz,
  ended_at timestamptz,
  ended_by text check (length(ended_by) between 1 and 200),
  last_session_at timestamptz,
  primary key (tenant_id, id),
  check (num_nulls(decided_at, decided_by, approved) in (0, 3)),
  check ((expires_at is not null) = coalesce(approved, false)),
  check (expires_at is null or expires_at <= decided_at + make_interval(mins => minutes)),
  check ((ended_at is null) = (ended_by is null)),
  check (ended_at is null or approved)
);
call tenon.protect('app.support_grants');
grant select, insert, update (decided_at, decided_by, approved, expires_at, ended_at, ended_by, last_session_at)
  on app.support_grants to tenon_app;

-- What was decided stays as it was, and what was ended stays ended.
create function tenon.keep_support_decision() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if (old.decided_at is not null and (new.decided_at, new.decided_by, new.approved, new.expires_at)
      is distinct from (old.decided_at, old.decided_by, old.approved, old.expires_at))
    or (old.ended_at is not null and (new.ended_at, new.ended_by) is distinct from (old.ended_at, old.ended_by)) then
    raise exception 'what was decided about support access stays' using errcode = '42501';
  end if;
  return new;
end
$$;
revoke all on function tenon.keep_support_decision() from public;
create trigger keep_decision before update on app.support_grants
for each row execute function tenon.keep_support_decision();

alter table app.credentials drop constraint credentials_kind_check;
alter table app.credentials add constraint credentials_kind_check
  check (kind in ('session', 'api_key', 'scim_token', 'sign_in_link', 'support'));

-- An operator sees rows of the tenant whose context she has, as the application does, but nothing that is a secret or leads to
-- one: no credential, no key of personal data, no way of signing in. Each right is named; a table to come has none.
grant select on app.tenants, app.tenant_contracts, app.users, app.groups, app.group_members, app.roles, app.user_roles,
    app.group_roles, app.projects, app.documents, app.document_shares, app.usage_events, app.subscriptions, app.invoices,
    app.invoice_lines, app.budget_limits, app.service_levels, app.audit_views
  to tenon_support;
grant select (tenant_id, id, kind, lane, input, state, progress_done, progress_total, attempts, max_attempts, error_code, error,
    requested_by, cancel_requested_at, created_at, started_at, finished_at)
  on app.jobs to tenon_support;
grant insert, update, delete on app.projects, app.documents, app.document_shares to tenon_support;
