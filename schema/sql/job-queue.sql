-- Rights on the tables of graphile-worker, which brings its own migrations; said again after each. The application has none:
-- tenon.add_job is its only way in. The worker takes, ends and unlocks jobs of all tenants; a row names a tenant, a job and
-- a token, and nothing of what the job is about.
revoke all on schema graphile_worker from public;
revoke all on all tables in schema graphile_worker from public;
revoke all on all functions in schema graphile_worker from public;
grant usage on schema graphile_worker to tenon_worker;
grant select on graphile_worker.migrations to tenon_worker;
grant select, insert, update, delete on graphile_worker._private_jobs, graphile_worker._private_job_queues to tenon_worker;
grant select, insert on graphile_worker._private_tasks to tenon_worker;
grant select, insert, update on graphile_worker._private_known_crontabs to tenon_worker;
grant execute on all functions in schema graphile_worker to tenon_worker;
-- Nobody may read it but the owner; should that change, it shows what its reader may see.
alter view graphile_worker.jobs set (security_invoker = true);
do $$
declare
  table_name text;
begin
  -- Row security is on there without a policy, which lets only the owner in.
  foreach table_name in array array['_private_jobs', '_private_job_queues', '_private_tasks', '_private_known_crontabs'] loop
    execute format('drop policy if exists worker_access on graphile_worker.%I', table_name);
    execute format('create policy worker_access on graphile_worker.%I for all to tenon_worker using (true)', table_name);
  end loop;
end
$$;
