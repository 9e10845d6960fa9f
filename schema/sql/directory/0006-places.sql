-- Sends `places <tenant uuid>` on the channel tenon_changes when a tenant lives elsewhere, or is gone: gateways remember
-- where she lives.
create function tenon.announce_place() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_notify('tenon_changes', 'places ' || old.id);
  return null;
end
$$;
revoke all on function tenon.announce_place() from public;
create trigger announce_update after update on app.tenants for each row when (old.* is distinct from new.*)
execute function tenon.announce_place();
create trigger announce_delete after delete on app.tenants for each row execute function tenon.announce_place();
