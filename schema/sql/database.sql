-- Rights on the database as a whole. They do not travel with a dump or a template, so every migration run says them again.
do $$
declare
  role_name text;
begin
  -- A temporary table would shadow a real one (pg_temp is searched first); nobody needs one.
  execute format('revoke all on database %I from public', current_database());
  execute 'revoke create on schema public from public';
  foreach role_name in array array['tenon_app', 'tenon_worker'] loop
    execute format('grant connect on database %I to %I', current_database(), role_name);
  end loop;
  execute format('alter database %I set search_path = app, pg_catalog', current_database());
end
$$;
