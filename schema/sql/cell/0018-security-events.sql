-- Who is told of what happens to people and groups: receivers that a tenant registered, and what each of them is owed. It
-- is written by triggers, in the transaction of the change itself, whatever program brings it about.

-- A UUIDv7 (RFC 9562 section 5.7).
create function tenon.uuidv7() returns uuid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
  select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1), 'hex')::uuid
$$;
revoke all on function tenon.uuidv7() from public;
grant execute on function tenon.uuidv7() to tenon_app;

create table app.security_event_receivers (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  kind text not null check (kind in ('backchannel_logout', 'caep', 'scim_events')),
  name text not null check (length(name) between 1 and 200),
  endpoint text not null check (length(endpoint) between 1 and 2048),
  audience text not null check (length(audience) between 1 and 1024),
  -- Types of event, as the specifications name them.
  events text[] not null check (cardinality(events) between 1 and 20),
  -- The sealed value of the Authorization header that it asks for; never shown.
  sealed_authorization text check (octet_length(sealed_authorization) <= 8192),
  state text not null default 'active' check (state in ('active', 'disabled')),
  -- Attempts in a row that failed, and until when it is left in peace after the last of them.
  failures integer not null default 0 check (failures >= 0),
  retry_at timestamptz,
  last_delivered_at timestamptz,
  last_failed_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
call tenon.protect_for_worker('app.security_event_receivers');
grant select, insert, update, delete on app.security_event_receivers to tenon_app;
grant select, update (failures, retry_at, last_delivered_at, last_failed_at)
  on app.security_event_receivers to tenon_worker;

-- One token that a receiver is owed. It holds ids and names of attributes and nothing that they are filled with: what a
-- token says beside that is read when it is sent.
create table app.security_event_deliveries (
  tenant_id uuid not null default tenon.tenant_id(),
  -- Also the `jti` of the token, of every attempt.
  id uuid not null default tenon.uuidv7(),
  receiver_id uuid not null,
  -- What happened to one person is told in this order.
  position bigint generated always as identity,
  transaction_id xid8 not null default pg_current_xact_id(),
  events text[] not null check (cardinality(events) between 1 and 20),
  subject_type text not null check (subject_type in ('user', 'group', 'test')),
  subject_id uuid not null,
  session_id uuid,
  attributes text[] not null default '{}',
  credential_type text,
  change_type text,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'dead')),
  attempts integer not null default 0 check (attempts >= 0),
  -- By the clock of this database: when it happened, and when the receiver had said that it has it.
  occurred_at timestamptz not null default clock_timestamp(),
  delivered_at timestamptz,
  -- Since when it is tried, anew after a replay.
  queued_at timestamptz not null default clock_timestamp(),
  -- From when on it may be tried again, and until when whoever tries it now is waited for.
  next_attempt_at timestamptz not null default '-infinity',
  leased_until timestamptz,
  ended_at timestamptz,
  last_status integer,
  last_error text check (length(last_error) <= 500),
  primary key (tenant_id, id),
  foreign key (tenant_id, receiver_id) references app.security_event_receivers (tenant_id, id) on delete cascade
);
create index security_event_deliveries_due on app.security_event_deliveries (tenant_id, receiver_id, position)
  where state = 'pending';
create index security_event_deliveries_lane
  on app.security_event_deliveries (tenant_id, receiver_id, subject_id, position) where state = 'pending';
create index security_event_deliveries_by_receiver on app.security_event_deliveries (tenant_id, receiver_id, id);
create index security_event_deliveries_by_subject on app.security_event_deliveries (tenant_id, subject_id, transaction_id);
create index security_event_deliveries_ended on app.security_event_deliveries (ended_at) where state <> 'pending';
call tenon.protect_for_worker('app.security_event_deliveries');
grant select, insert, update on app.security_event_deliveries to tenon_app;
grant select, update, delete on app.security_event_deliveries to tenon_worker;

-- Wakes whoever delivers; what is missed is found by her next look at the table.
create function tenon.announce_deliveries() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from queued) then
    perform pg_notify('tenon_deliveries', '');
  end if;
  return null;
end
$$;
revoke all on function tenon.announce_deliveries() from public;
create trigger announce_deliveries after insert on app.security_event_deliveries
referencing new table as queued for each statement execute function tenon.announce_deliveries();

-- What happened to somebody or something: `wanted` are the types of event that tell of it.
create type tenon.security_event as (
  tenant_id uuid,
  wanted text[],
  subject_type text,
  subject_id uuid,
  session_id uuid,
  attributes text[],
  credential_type text,
  change_type text
);
revoke all on type tenon.security_event from public;
grant usage on type tenon.security_event to tenon_app;

-- Writes what every active receiver is owed of it. The same again in one transaction is told once, of all attributes; the
-- end of one session is not told beside the end of all.
create function tenon.enqueue_security_event(event tenon.security_event) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from app.security_event_receivers r
                  where r.tenant_id = event.tenant_id and r.state = 'active' and r.events && event.wanted) then
    return;
  end if;
  update app.security_event_deliveries d
     set attributes = array(select unnest(d.attributes) union select unnest(event.attributes) order by 1)
   where d.tenant_id = event.tenant_id and d.subject_id = event.subject_id
     and d.transaction_id = pg_current_xact_id() and d.events && event.wanted and event.attributes <> '{}'
     and not d.attributes @> event.attributes;
  insert into app.security_event_deliveries
    (tenant_id, receiver_id, events, subject_type, subject_id, session_id, attributes, credential_type, change_type)
  select event.tenant_id, r.id, array(select unnest(event.wanted) intersect select unnest(r.events) order by 1),
         event.subject_type, event.subject_id, event.session_id, coalesce(event.attributes, '{}'),
         event.credential_type, event.change_type
    from app.security_event_receivers r
   where r.tenant_id = event.tenant_id and r.state = 'active' and r.events && event.wanted
     and not exists (
       select from app.security_event_deliveries d
        where d.tenant_id = event.tenant_id and d.receiver_id = r.id and d.subject_id = event.subject_id
          and d.transaction_id = pg_current_xact_id() and d.events && event.wanted
          and (d.session_id is null or d.session_id is not distinct from event.session_id)
          and d.credential_type is not distinct from event.credential_type
          and d.change_type is not distinct from event.change_type);
end
$$;
revoke all on function tenon.enqueue_security_event(tenon.security_event) from public;
grant execute on function tenon.enqueue_security_event(tenon.security_event) to tenon_app;

-- `notice` and `full` of one kind of change (RFC 9967 section 2.4).
create function tenon.scim_events(change text) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select array['urn:ietf:params:scim:event:prov:' || change || ':notice', 'urn:ietf:params:scim:event:prov:' || change || ':full']
$$;
revoke all on function tenon.scim_events(text) from public;
grant execute on function tenon.scim_events(text) to tenon_app;

-- A replacement by a client is told as one; everything else that changes a resource is a patch of it.
create function tenon.scim_change() returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select tenon.scim_events(case current_setting('app.scim_method', true) when 'PUT' then 'put' else 'patch' end)
$$;
revoke all on function tenon.scim_change() from public;
grant execute on function tenon.scim_change() to tenon_app;

create function tenon.changed_keys(before jsonb, after jsonb) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select array(select coalesce(b.key, a.key)
                 from jsonb_each(case jsonb_typeof(before) when 'object' then before else '{}' end) b
                 full join jsonb_each(case jsonb_typeof(after) when 'object' then after else '{}' end) a on a.key = b.key
                where b.value is distinct from a.value order by 1)
$$;
revoke all on function tenon.changed_keys(jsonb, jsonb) from public;
grant execute on function tenon.changed_keys(jsonb, jsonb) to tenon_app;

-- The end of all sessions of a person, or of one.
create function tenon.session_ends() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select array['http://schemas.openid.net/event/backchannel-logout',
    'https://schemas.openid.net/secevent/caep/event-type/session-revoked']
$$;
revoke all on function tenon.session_ends() from public;
grant execute on function tenon.session_ends() to tenon_app;

create function tenon.tell_of_user() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  changed text[];
begin
  if tg_op = 'INSERT' then
    changed := array(select unnest(array['userName', 'active']
      || array_remove(array[case when new.external_id is not null then 'externalId' end,
           case when new.display_name is not null then 'displayName' end,
           case when new.email is not null then 'emails' end], null))
      union select unnest(tenon.changed_keys('{}', new.resource)) order by 1);
    perform tenon.enqueue_security_event((new.tenant_id, tenon.scim_events('create') || array['urn:ietf:params:scim:event:feed:add'],
      'user', new.id, null, changed, null, null));
    return null;
  end if;
  if tg_op = 'DELETE' then
    perform tenon.enqueue_security_event((old.tenant_id,
      array['urn:ietf:params:scim:event:prov:delete', 'urn:ietf:params:scim:event:feed:remove'],
      'user', old.id, null, '{}', null, null));
    if old.active then
      perform tenon.enqueue_security_event((old.tenant_id, tenon.session_ends(), 'user', old.id, null, '{}', null, null));
    end if;
    return null;
  end if;
  if (new.active, new.epoch) is distinct from (old.active, old.epoch) and not (new.active and not old.active) then
    perform tenon.enqueue_security_event((new.tenant_id, tenon.session_ends(), 'user', new.id, null, '{}', null, null));
  end if;
  if new.active is distinct from old.active then
    perform tenon.enqueue_security_event((new.tenant_id,
      array['urn:ietf:params:scim:event:prov:' || case when new.active then 'activate' else 'deactivate' end],
      'user', new.id, null, '{}', null, null));
  end if;
  changed := array(select unnest(array_remove(array[
      case when new.user_name is distinct from old.user_name then 'userName' end,
      case when new.external_id is distinct from old.external_id then 'externalId' end,
      case when new.display_name is distinct from old.display_name then 'displayName' end,
      case when new.email is distinct from old.email then 'emails' end], null))
    union select unnest(tenon.changed_keys(old.resource, new.resource)) order by 1);
  if changed <> '{}' then
    perform tenon.enqueue_security_event((new.tenant_id, tenon.scim_change(), 'user', new.id, null, changed, null, null));
  end if;
  return null;
end
$$;
revoke all on function tenon.tell_of_user() from public;
create trigger tell_of_user after insert or update or delete on app.users
for each row execute function tenon.tell_of_user();

create function tenon.tell_of_group() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  changed text[];
begin
  if tg_op = 'INSERT' then
    changed := array(select unnest(array_remove(array['displayName', case when new.external_id is not null then 'externalId' end], null))
      union select unnest(tenon.changed_keys('{}', new.resource)) order by 1);
    perform tenon.enqueue_security_event((new.tenant_id, tenon.scim_events('create') || array['urn:ietf:params:scim:event:feed:add'],
      'group', new.id, null, changed, null, null));
    return null;
  end if;
  if tg_op = 'DELETE' then
    perform tenon.enqueue_security_event((old.tenant_id,
      array['urn:ietf:params:scim:event:prov:delete', 'urn:ietf:params:scim:event:feed:remove'],
      'group', old.id, null, '{}', null, null));
    return null;
  end if;
  changed := array(select unnest(array_remove(array[
      case when new.display_name is distinct from old.display_name then 'displayName' end,
      case when new.external_id is distinct from old.external_id then 'externalId' end], null))
    union select unnest(tenon.changed_keys(old.resource, new.resource)) order by 1);
  if changed <> '{}' then
    perform tenon.enqueue_security_event((new.tenant_id, tenon.scim_change(), 'group', new.id, null, changed, null, null));
  end if;
  return null;
end
$$;
revoke all on function tenon.tell_of_group() from public;
create trigger tell_of_group after insert or update or delete on app.groups
for each row execute function tenon.tell_of_group();

-- The members of a group are an attribute of hers; of a group that carries roles they also are what a person may do. Who
-- joins a group in the transaction that makes it is told with the group.
create function tenon.tell_of_members() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  claims constant text[] := array['https://schemas.openid.net/secevent/caep/event-type/token-claims-change'];
begin
  if not exists (select from app.security_event_receivers r where r.state = 'active'
                   and r.events && (tenon.scim_change() || tenon.scim_events('create') || claims)) then
    return null;
  end if;
  perform tenon.enqueue_security_event((g.tenant_id,
      case when exists (
        select from app.security_event_deliveries d where d.tenant_id = g.tenant_id and d.subject_id = g.id
           and d.transaction_id = pg_current_xact_id() and d.events && tenon.scim_events('create'))
      then tenon.scim_events('create') else tenon.scim_change() end,
      'group', g.id, null, array['members'], null, null))
    from app.groups g where g.id in (select m.group_id from members m);
  perform tenon.enqueue_security_event((u.tenant_id, claims, 'user', u.id, null, '{}', null, null))
    from app.users u where u.id in (
      select m.user_id from members m
       where exists (select from app.group_roles r where r.group_id = m.group_id)
          or not exists (select from app.groups g where g.id = m.group_id));
  return null;
end
$$;
revoke all on function tenon.tell_of_members() from public;
create trigger tell_of_joining after insert on app.group_members
referencing new table as members for each statement execute function tenon.tell_of_members();
create trigger tell_of_leaving after delete on app.group_members
referencing old table as members for each statement execute function tenon.tell_of_members();

-- Whose rights change: hers, or those of everybody in a group.
create function tenon.tell_of_roles() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  claims constant text[] := array['https://schemas.openid.net/secevent/caep/event-type/token-claims-change'];
begin
  if tg_table_name = 'user_roles' then
    perform tenon.enqueue_security_event((u.tenant_id, claims, 'user', u.id, null, '{}', null, null))
      from app.users u where u.id in (select g.user_id from granted g);
  elsif exists (select from app.security_event_receivers r where r.state = 'active' and r.events && claims) then
    perform tenon.enqueue_security_event((m.tenant_id, claims, 'user', m.user_id, null, '{}', null, null))
      from (select distinct m.tenant_id, m.user_id from app.group_members m
             where m.group_id in (select g.group_id from granted g)) m;
  end if;
  return null;
end
$$;
revoke all on function tenon.tell_of_roles() from public;
create trigger tell_of_granting after insert on app.user_roles
referencing new table as granted for each statement execute function tenon.tell_of_roles();
create trigger tell_of_revoking after delete on app.user_roles
referencing old table as granted for each statement execute function tenon.tell_of_roles();
create trigger tell_of_granting after insert on app.group_roles
referencing new table as granted for each statement execute function tenon.tell_of_roles();
create trigger tell_of_revoking after delete on app.group_roles
referencing old table as granted for each statement execute function tenon.tell_of_roles();

create function tenon.tell_of_session() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform tenon.enqueue_security_event(
    (new.tenant_id, tenon.session_ends(), 'user', new.user_id, new.id, '{}', null, null));
  return null;
end
$$;
revoke all on function tenon.tell_of_session() from public;
create trigger tell_of_session after update on app.credentials for each row
when (new.kind = 'session' and old.revoked_at is null and new.revoked_at is not null)
execute function tenon.tell_of_session();

-- Credential types in the words of CAEP. An authenticator application counts from its first code on; what goes with its
-- person is told by what is told of her.
create function tenon.tell_of_factor() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  factor app.sign_in_factors;
begin
  factor := case when tg_op = 'DELETE' then old else new end;
  if factor.kind = 'totp' and factor.confirmed_at is null
    or not exists (select from app.users u where u.tenant_id = factor.tenant_id and u.id = factor.user_id) then
    return null;
  end if;
  perform tenon.enqueue_security_event((factor.tenant_id,
    array['https://schemas.openid.net/secevent/caep/event-type/credential-change'], 'user', factor.user_id, null, '{}',
    case when factor.kind = 'totp' then 'app' when 'internal' = any (factor.transports) then 'fido2-platform'
      else 'fido2-roaming' end,
    case when tg_op = 'DELETE' then 'delete' else 'create' end));
  return null;
end
$$;
revoke all on function tenon.tell_of_factor() from public;
create trigger tell_of_factor after insert or delete on app.sign_in_factors
for each row execute function tenon.tell_of_factor();
create trigger tell_of_confirmation after update on app.sign_in_factors for each row
when (old.confirmed_at is null and new.confirmed_at is not null) execute function tenon.tell_of_factor();
