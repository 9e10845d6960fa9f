-- Durable jobs: what a tenant asked for that takes longer than a request. A row is written in the transaction that asks for
-- the work; the queue of graphile-worker (schema graphile_worker) gets only who and which, and only of the first of a line.

create table app.jobs (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- UUIDv7.
  id uuid not null,
  kind text not null check (kind ~ '^[a-z][a-z0-9_]*[.][a-z][a-z0-9_]*$' and length(kind) <= 80),
  -- Jobs of a lane wait for each other, tenant by tenant.
  lane text not null check (lane in ('quick', 'long')),
  -- Whoever asks with the same key while one waits or runs gets that one.
  key text check (length(key) between 1 and 200),
  input jsonb not null check (octet_length(input::text) <= 65536),
  -- Signed by whoever asked: names tenant, job, kind, input and actor.
  token text not null check (octet_length(token) <= 4096),
  -- `failed` waits for its next attempt; `dead` has had its last.
  state text not null default 'queued'
    check (state in ('queued', 'running', 'succeeded', 'failed', 'dead', 'cancelled')),
  progress_done bigint not null default 0 check (progress_done >= 0),
  progress_total bigint check (progress_total >= 0),
  attempts integer not null default 0 check (attempts >= 0),
  max_attempts integer not null check (max_attempts between 1 and 100),
  -- What of the last failure may be shown.
  error_code text check (length(error_code) <= 80),
  error text check (length(error) <= 1000),
  -- Public id of the actor.
  requested_by text not null check (length(requested_by) between 1 and 200),
  cancel_requested_at timestamptz,
  -- When it left the line of its tenant for the queue.
  handed_on_at timestamptz,
  -- Which process runs it.
  runner text check (length(runner) <= 100),
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  primary key (tenant_id, id)
);
call tenon.protect_for_worker('app.jobs');
grant select, insert on app.jobs to tenon_app;
grant update (token, state, attempts, error_code, error, cancel_requested_at, handed_on_at, finished_at)
  on app.jobs to tenon_app;
grant select, delete on app.jobs to tenon_worker;
grant update (state, progress_done, progress_total, attempts, error_code, error, handed_on_at, runner, started_at,
    finished_at)
  on app.jobs to tenon_worker;
-- A job of the worker's own begins under the context of its tenant or not at all.
grant insert on app.jobs to tenon_worker;
create policy worker_asks_for_one on app.jobs as restrictive for insert to tenon_worker
  with check (tenant_id = (select tenon.tenant_id()));

create unique index jobs_by_key on app.jobs (tenant_id, kind, key)
  where key is not null and state in ('queued', 'running', 'failed');
create index jobs_waiting on app.jobs (tenant_id, lane, id) where state = 'queued' and handed_on_at is null;
create index jobs_in_queue on app.jobs (tenant_id, lane) where handed_on_at is not null and state in ('queued', 'running');
create index jobs_unfinished on app.jobs (state, handed_on_at) where state in ('queued', 'running', 'failed');
create index jobs_by_end on app.jobs (finished_at) where finished_at is not null;

-- Puts a job of the context's tenant behind all that wait in the queue. It runs with the rights of its owner, since programs
-- may not write there; who the tenant is comes from the signed context and from nowhere else.
create function tenon.add_job(job uuid, kind text, token text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  tenant uuid := tenon.tenant_id();
begin
  if tenant is null then
    raise exception 'a job needs the context of a tenant' using errcode = '42501';
  end if;
  if job is null or kind is null or token is null or kind !~ '^[a-z][a-z0-9_]*[.][a-z][a-z0-9_]*$' or length(kind) > 80 or octet_length(token) > 4096 then
    raise exception 'a job has no such kind or token' using errcode = '22023';
  end if;
  -- How often it is tried is written in app.jobs; the queue itself never gives up.
  perform graphile_worker.add_job(kind, json_build_object('tenant', tenant, 'job', job, 'token', token),
    run_at => clock_timestamp(), max_attempts => 1000, job_key => tenant || ':' || job);
end
$$;
revoke all on function tenon.add_job(uuid, text, text) from public;
grant execute on function tenon.add_job(uuid, text, text) to tenon_app, tenon_worker;

alter table app.roles no force row level security;
update app.roles set scopes = scopes || array['jobs:read', 'jobs:write']
  where built_in and name = 'admin' and not scopes && array['jobs:read', 'jobs:write'];
update app.roles set scopes = scopes || array['jobs:read']
  where built_in and name = 'auditor' and not scopes && array['jobs:read'];
-- What the change of a role announces is announced now: the table cannot be altered before.
set constraints all immediate;
alter table app.roles force row level security;
