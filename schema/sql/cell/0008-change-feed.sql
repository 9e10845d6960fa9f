-- News of committed changes, for the caches of gateways: who may do what is remembered there and dropped at a message.
-- Messages leave at commit, and only then; the same one twice in a transaction is sent once. A commit with a message
-- takes a lock of the whole server for a moment, so what changes nobody's rights, such as a new session, sends none.

-- Sends `<topic> <tenant uuid>` on the channel tenon_changes; the topic is the trigger's argument. In a statement trigger
-- the tenant is the one of the context; without one it is `*`, every tenant.
create function tenon.announce_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  tenant uuid;
begin
  if tg_level = 'STATEMENT' then
    tenant := tenon.tenant_id();
  elsif tg_op = 'DELETE' then
    tenant := old.tenant_id;
  else
    tenant := new.tenant_id;
  end if;
  perform pg_notify('tenon_changes', tg_argv[0] || ' ' || coalesce(tenant::text, '*'));
  return null;
end
$$;
revoke all on function tenon.announce_change() from public;

-- A sign-in link is used up where it is read; no gateway remembers one.
create trigger announce_update after update on app.credentials for each row
when (old.kind <> 'sign_in_link' and
  (old.kind, old.user_id, old.client, old.scopes, old.secret_hash, old.epoch, old.expires_at, old.revoked_at)
  is distinct from
  (new.kind, new.user_id, new.client, new.scopes, new.secret_hash, new.epoch, new.expires_at, new.revoked_at))
execute function tenon.announce_change('credentials');
create trigger announce_delete after delete on app.credentials for each row
when (old.kind <> 'sign_in_link')
execute function tenon.announce_change('credentials');

create trigger announce_update after update on app.users for each row
when ((old.active, old.epoch) is distinct from (new.active, new.epoch))
execute function tenon.announce_change('credentials');
create trigger announce_delete after delete on app.users for each row
execute function tenon.announce_change('credentials');

create trigger announce_update after update on app.roles for each row
when (old.scopes is distinct from new.scopes)
execute function tenon.announce_change('credentials');
create trigger announce_delete after delete on app.roles for each row
execute function tenon.announce_change('credentials');

create trigger announce_change after insert or update or delete on app.user_roles for each row
execute function tenon.announce_change('credentials');
create trigger announce_change after insert or update or delete on app.group_members for each row
execute function tenon.announce_change('credentials');
create trigger announce_change after insert or update or delete on app.group_roles for each row
execute function tenon.announce_change('credentials');

create trigger announce_update after update on app.tenants for each row
when ((old.tier, old.state, old.region, old.cell) is distinct from (new.tier, new.state, new.region, new.cell))
execute function tenon.announce_change('credentials');
create trigger announce_delete after delete on app.tenants for each row
execute function tenon.announce_change('credentials');
