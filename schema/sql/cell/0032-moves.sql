-- Writes into the copy of a tenant where she lives from now on, the last thing before her rows count here.
create function tenon.settle_tenant(new_region text, new_cell text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tenon.require_copy();
  -- Nobody can have remembered anything of her here, so nothing is announced.
  perform set_config('session_replication_role', 'replica', true);
  update app.tenants set region = new_region, cell = new_cell, version = version + 1, updated_at = clock_timestamp()
   where (region, cell) is distinct from (new_region, new_cell);
  perform set_config('session_replication_role', 'origin', true);
end
$$;
call tenon.run_as('tenon_mover', 'tenon.settle_tenant(text,text)');
