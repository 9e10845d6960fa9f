-- Keys of data subjects. Personal values in audit events are sealed under the key of their person, that key is wrapped by
-- the key of her tenant, and that one by a key of the deployment, which no database holds. Without the row nothing opens.

-- Whoever destroys a key destroys it for good; a row that a backup brings back is destroyed again. Nobody puts another key
-- in the place of one: a tenant's may be wrapped anew by another key of the deployment, which is named with it.
create function tenon.keep_destroyed() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.wrapped is null and new.wrapped is not null then
    raise exception 'a destroyed key stays destroyed' using errcode = '42501';
  end if;
  if new.wrapped is not null and new.wrapped is distinct from old.wrapped
    and to_jsonb(new) ->> 'data_kid' is not distinct from to_jsonb(old) ->> 'data_kid' then
    raise exception 'a key is not exchanged' using errcode = '42501';
  end if;
  return new;
end
$$;
revoke all on function tenon.keep_destroyed() from public;

create table app.tenant_keys (
  tenant_id uuid primary key default tenon.tenant_id() references app.tenants (tenant_id),
  -- Which key of the deployment wraps it.
  data_kid text not null check (data_kid ~ '^[a-z0-9-]{1,32}$'),
  -- Nonce, ciphertext and tag of AES-256-GCM; null once it is destroyed.
  wrapped bytea check (octet_length(wrapped) = 60),
  created_at timestamptz not null default now(),
  destroyed_at timestamptz,
  -- Who made it may yet roll back, and must not remember it before.
  transaction_id xid8 not null default pg_current_xact_id(),
  check ((wrapped is null) = (destroyed_at is not null))
);
call tenon.protect('app.tenant_keys');
grant select, insert, update (wrapped, destroyed_at) on app.tenant_keys to tenon_app;
grant insert, update (data_kid, wrapped, destroyed_at) on app.tenant_keys to tenon_worker;
create trigger keep_destroyed before update on app.tenant_keys for each row execute function tenon.keep_destroyed();

-- One row a person, also after her key is destroyed: there is never a second key of hers.
create table app.subject_keys (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- The UUID of the person; all zeros for values that no known person stands behind.
  subject uuid not null,
  -- What sealed values call the key by; it stays.
  kid text not null check (kid ~ '^[A-Za-z0-9_-]{22}$'),
  wrapped bytea check (octet_length(wrapped) = 60),
  created_at timestamptz not null default now(),
  destroyed_at timestamptz,
  -- When all other personal data of hers were gone from this database too.
  cleared_at timestamptz,
  -- What went at that time, store by store, for the certificate.
  cleared jsonb check (octet_length(cleared::text) <= 65536),
  transaction_id xid8 not null default pg_current_xact_id(),
  primary key (tenant_id, subject),
  unique (tenant_id, kid),
  check ((wrapped is null) = (destroyed_at is not null)),
  check (cleared_at is null or destroyed_at is not null)
);
call tenon.protect('app.subject_keys');
grant select, insert, update (wrapped, destroyed_at) on app.subject_keys to tenon_app;
grant insert, update (wrapped, destroyed_at, cleared_at, cleared) on app.subject_keys to tenon_worker;
create trigger keep_destroyed before update on app.subject_keys for each row execute function tenon.keep_destroyed();

-- What the worker may do to an erased person, tenant by tenant: call these functions and nothing else. Each of them looks
-- for itself whether the key of the person is destroyed, and reads her address itself, so that whoever speaks for the
-- worker erases nobody whom no one has erased.

-- An error for a person whose key is not destroyed in the tenant of the transaction.
create function tenon.require_erased(person uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from app.subject_keys k where k.subject = person and k.wrapped is null) then
    raise exception 'the key of this person is not destroyed' using errcode = '42501';
  end if;
end
$$;
revoke all on function tenon.require_erased(uuid) from public;
grant execute on function tenon.require_erased(uuid) to tenon_eraser;
grant select on app.subject_keys to tenon_eraser;

-- What her account consists of goes with its row. What is announced of it is announced here, with these rights, and not at
-- the commit with those of the caller.
create function tenon.erase_user(person uuid) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone bigint;
begin
  perform tenon.require_erased(person);
  delete from app.users u where u.id = person;
  get diagnostics gone = row_count;
  set constraints all immediate;
  return gone;
end
$$;
call tenon.run_as('tenon_eraser', 'tenon.erase_user(uuid)');
grant select, delete on app.users to tenon_eraser;

-- Of the triggers on people and on what hangs on them.
grant select on app.groups, app.group_members, app.group_roles, app.security_event_receivers to tenon_eraser;
grant select, insert, update on app.revocations, app.security_event_deliveries to tenon_eraser;
grant select, update on tenon.change_counter to tenon_eraser;
grant execute on function tenon.announce(text, uuid, text), tenon.uuidv7(),
  tenon.enqueue_security_event(tenon.security_event), tenon.scim_events(text), tenon.scim_change(),
  tenon.changed_keys(jsonb, jsonb), tenon.session_ends() to tenon_eraser;
grant usage on type tenon.security_event to tenon_eraser;

-- The worker ends access of its own, too, tenant by tenant, and tells of it as everybody does.
grant insert, update on app.revocations to tenon_worker;
grant insert on app.security_event_deliveries to tenon_worker;
grant select, update on tenon.change_counter to tenon_worker;
grant execute on function tenon.announce(text, uuid, text), tenon.uuidv7(),
  tenon.enqueue_security_event(tenon.security_event), tenon.scim_events(text), tenon.scim_change(),
  tenon.changed_keys(jsonb, jsonb), tenon.session_ends() to tenon_worker;
grant usage on type tenon.security_event to tenon_worker;

-- Usage stays, for rating, without her name and without what the reporter said beside the figures.
create function tenon.erase_usage_events(person uuid) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  cleared bigint;
begin
  perform tenon.require_erased(person);
  update app.usage_events e set user_id = null, metadata = '{}' where e.user_id = person;
  get diagnostics cleared = row_count;
  return cleared;
end
$$;
call tenon.run_as('tenon_eraser', 'tenon.erase_usage_events(uuid)');
grant select, update (user_id, metadata) on app.usage_events to tenon_eraser;

-- What was shared with her address, as long as her account still says which it is.
create function tenon.erase_document_shares(person uuid) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone bigint;
begin
  perform tenon.require_erased(person);
  delete from app.document_shares s
   where lower(s.recipient) in (
     select unnest(array[u.email_folded, u.user_name_folded]) from app.users u where u.id = person);
  get diagnostics gone = row_count;
  return gone;
end
$$;
call tenon.run_as('tenon_eraser', 'tenon.erase_document_shares(uuid)');
grant select, delete on app.document_shares to tenon_eraser;
