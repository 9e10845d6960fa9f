-- The end of somebody's access, and the proof of when it had taken hold in every gateway.

-- Announced changes are counted in the order of their commits, without a gap: whoever has heard of number n has heard of
-- all before it, and whoever finds a higher one here than she has heard of has lost news. One row a database, held from
-- the last moment before a commit to its end, which commits with news have to queue up for anyway. It tells how many
-- changes there were in all tenants together, and of no tenant anything.
create table tenon.change_counter (
  only_row boolean primary key default true check (only_row),
  sequence bigint not null default 0,
  -- The transaction that counted last, and what it has announced: the same thing twice is announced once.
  transaction_id xid8,
  announced text[] not null default '{}'
);
insert into tenon.change_counter default values;
revoke all on tenon.change_counter from public;
grant select, update on tenon.change_counter to tenon_app;

create function tenon.keep_counting() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.sequence is distinct from old.sequence + 1 then
    raise exception 'changes are counted one by one' using errcode = '42501';
  end if;
  return new;
end
$$;
revoke all on function tenon.keep_counting() from public;
create trigger keep_counting before update on tenon.change_counter for each row execute function tenon.keep_counting();

-- Sends `<topic> <tenant uuid> <number>`, and behind it the detail where there is one; returns the number, or null where
-- this transaction has sent the same before. To be called when nothing is left to be done but the commit.
create function tenon.announce(topic text, tenant uuid, detail text) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  message text := concat_ws(' ', topic, tenant, detail);
  counted bigint;
begin
  -- A group of thousands announces the same for each row: what was said last is remembered beside the row that counts.
  if current_setting('tenon.announced_last', true) = pg_current_xact_id() || ' ' || message then
    return null;
  end if;
  perform set_config('tenon.announced_last', pg_current_xact_id() || ' ' || message, true);
  update tenon.change_counter as counter
     set sequence = counter.sequence + 1,
         transaction_id = pg_current_xact_id(),
         announced = case when counter.transaction_id = pg_current_xact_id() then counter.announced || message
                     else array[message] end
   where counter.only_row
     and (counter.transaction_id is distinct from pg_current_xact_id() or message <> all (counter.announced))
  returning counter.sequence into counted;
  if counted is not null then
    perform pg_notify('tenon_changes', concat_ws(' ', topic, tenant, counted, detail));
  end if;
  return counted;
end
$$;
revoke all on function tenon.announce(text, uuid, text) from public;
grant execute on function tenon.announce(text, uuid, text) to tenon_app;

-- Announces the tenant of a row under the topic that is the trigger's argument. For triggers that are deferred to the
-- commit: until then nothing is locked, so that no two transactions wait for each other in a circle.
create or replace function tenon.announce_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' then
    perform tenon.announce(tg_argv[0], old.tenant_id, null);
  else
    perform tenon.announce(tg_argv[0], new.tenant_id, null);
  end if;
  return null;
end
$$;

drop trigger announce_update on app.credentials;
drop trigger announce_delete on app.credentials;
create constraint trigger announce_update after update on app.credentials
deferrable initially deferred for each row
when (old.kind <> 'sign_in_link' and
  (old.kind, old.user_id, old.client, old.scopes, old.secret_hash, old.epoch, old.expires_at, old.revoked_at,
    old.allowed_networks)
  is distinct from
  (new.kind, new.user_id, new.client, new.scopes, new.secret_hash, new.epoch, new.expires_at, new.revoked_at,
    new.allowed_networks))
execute function tenon.announce_change('credentials');
create constraint trigger announce_delete after delete on app.credentials
deferrable initially deferred for each row
when (old.kind <> 'sign_in_link')
execute function tenon.announce_change('credentials');

drop trigger announce_update on app.users;
drop trigger announce_delete on app.users;
create constraint trigger announce_update after update on app.users
deferrable initially deferred for each row
when ((old.active, old.epoch) is distinct from (new.active, new.epoch))
execute function tenon.announce_change('credentials');
create constraint trigger announce_delete after delete on app.users
deferrable initially deferred for each row
execute function tenon.announce_change('credentials');

drop trigger announce_update on app.roles;
drop trigger announce_delete on app.roles;
create constraint trigger announce_update after update on app.roles
deferrable initially deferred for each row
when (old.scopes is distinct from new.scopes)
execute function tenon.announce_change('credentials');
create constraint trigger announce_delete after delete on app.roles
deferrable initially deferred for each row
execute function tenon.announce_change('credentials');

drop trigger announce_change on app.user_roles;
create constraint trigger announce_change after insert or update or delete on app.user_roles
deferrable initially deferred for each row
execute function tenon.announce_change('credentials');
drop trigger announce_change on app.group_members;
create constraint trigger announce_change after insert or update or delete on app.group_members
deferrable initially deferred for each row
execute function tenon.announce_change('credentials');
drop trigger announce_change on app.group_roles;
create constraint trigger announce_change after insert or update or delete on app.group_roles
deferrable initially deferred for each row
execute function tenon.announce_change('credentials');

drop trigger announce_update on app.tenants;
drop trigger announce_delete on app.tenants;
create constraint trigger announce_update after update on app.tenants
deferrable initially deferred for each row
when ((old.tier, old.state, old.region, old.cell, old.epoch)
  is distinct from (new.tier, new.state, new.region, new.cell, new.epoch))
execute function tenon.announce_change('credentials');
create constraint trigger announce_delete after delete on app.tenants
deferrable initially deferred for each row
execute function tenon.announce_change('credentials');

drop trigger announce_change on app.budget_limits;
create constraint trigger announce_change after insert or update or delete on app.budget_limits
deferrable initially deferred for each row
execute function tenon.announce_change('limits');

drop trigger announce_insert on app.registered_operations;
drop trigger announce_update on app.registered_operations;
create constraint trigger announce_insert after insert on app.registered_operations
deferrable initially deferred for each row
execute function tenon.announce_change('operations');
create constraint trigger announce_update after update on app.registered_operations
deferrable initially deferred for each row
when ((old.state, old.revoked_at, old.expires_at, old.body, old.cost_ceiling, old.client, old.key)
  is distinct from (new.state, new.revoked_at, new.expires_at, new.body, new.cost_ceiling, new.client, new.key))
execute function tenon.announce_change('operations');

-- Whose access ended, when, and when the last gateway had put it into force. All times are of this database's clock.
create table app.revocations (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  -- What lost its access; it may be gone since.
  subject_type text not null check (subject_type in ('user', 'api_key', 'scim_token', 'tenant')),
  subject_id uuid not null,
  reason text not null check (reason in ('deactivated', 'deleted', 'signed_out', 'revoked', 'closed')),
  transaction_id xid8 not null default pg_current_xact_id(),
  -- The last moment before the commit, the number of its news, and how many gateways were there to hear it.
  revoked_at timestamptz not null default clock_timestamp(),
  sequence bigint,
  gateways integer not null default 0 check (gateways >= 0),
  -- When the last of them had put it into force, and how many had said so by then; null while it is open.
  enforced_at timestamptz,
  confirmed integer check (confirmed >= 0),
  primary key (tenant_id, id),
  check ((enforced_at is null) = (confirmed is null))
);
create index revocations_by_subject on app.revocations (tenant_id, subject_id);
create index revocations_open on app.revocations (tenant_id, revoked_at) where enforced_at is null;
call tenon.protect('app.revocations');
grant select, insert, update on app.revocations to tenon_app;

-- One gateway's word that it refuses what was revoked, and since when.
create table app.revocation_acknowledgements (
  tenant_id uuid not null default tenon.tenant_id(),
  revocation_id uuid not null,
  gateway_id uuid not null,
  enforced_at timestamptz not null,
  primary key (tenant_id, revocation_id, gateway_id),
  foreign key (tenant_id, revocation_id) references app.revocations (tenant_id, id) on delete cascade
);
call tenon.protect('app.revocation_acknowledgements');
grant select, insert on app.revocation_acknowledgements to tenon_app;

-- Writes down the end of an access in the transaction that brings it about, whatever program that is. The arguments are
-- the kind of thing and the reason; the keys that end with their person are not named one by one.
create function tenon.record_revocation() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  tenant uuid;
  subject uuid;
  subject_type text := tg_argv[0];
  time_ordered bytea := overlay(uuid_send(gen_random_uuid())
    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6);
begin
  if tg_op = 'DELETE' then
    tenant := old.tenant_id;
    subject := old.id;
  else
    tenant := new.tenant_id;
    subject := new.id;
  end if;
  if tg_table_name = 'credentials' then
    subject_type := new.kind;
    if exists (select from app.revocations r where r.tenant_id = tenant and r.subject_id = new.user_id
                and r.transaction_id = pg_current_xact_id()) then
      return null;
    end if;
  end if;
  -- A UUIDv7 (RFC 9562): version 7 in place of 4.
  insert into app.revocations (tenant_id, id, subject_type, subject_id, reason)
  values (tenant, encode(set_bit(set_bit(time_ordered, 52, 1), 53, 1), 'hex')::uuid, subject_type, subject, tg_argv[1]);
  return null;
end
$$;
revoke all on function tenon.record_revocation() from public;

create trigger record_deactivation after update on app.users for each row
when (old.active and not new.active) execute function tenon.record_revocation('user', 'deactivated');
create trigger record_sign_out after update on app.users for each row
when (old.active and new.active and new.epoch > old.epoch) execute function tenon.record_revocation('user', 'signed_out');
create trigger record_deletion after delete on app.users for each row
when (old.active) execute function tenon.record_revocation('user', 'deleted');
create trigger record_revocation after update on app.credentials for each row
when (new.kind in ('api_key', 'scim_token') and old.revoked_at is null and new.revoked_at is not null)
execute function tenon.record_revocation('credential', 'revoked');
create trigger record_closing after update on app.tenants for each row
when (new.state in ('suspended', 'soft_deleted', 'erasing', 'erased') and old.state is distinct from new.state
  and old.state not in ('provisioning', 'suspended', 'soft_deleted', 'erasing', 'erased'))
execute function tenon.record_revocation('tenant', 'closed');
create trigger record_epoch after update on app.tenants for each row
when (new.epoch > old.epoch) execute function tenon.record_revocation('tenant', 'signed_out');

-- Announces a revocation with its id, so that gateways can say that it is in force. One that has not proven for a second
-- that it listens does not count: it remembers nobody, and reads every credential.
create function tenon.announce_revocation() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  listening integer := (select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'tenon changes'
      and state_change > clock_timestamp() - interval '1 second');
  counted bigint := tenon.announce('revocations', new.tenant_id, new.id::text);
begin
  update app.revocations set revoked_at = clock_timestamp(), sequence = counted, gateways = listening
   where tenant_id = new.tenant_id and id = new.id;
  return null;
end
$$;
revoke all on function tenon.announce_revocation() from public;
create constraint trigger announce_revocation after insert on app.revocations
deferrable initially deferred for each row execute function tenon.announce_revocation();
