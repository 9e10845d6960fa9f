-- Keys of data subjects. Personal values in audit events are sealed under the key of their person, that key is wrapped by
-- the key of her tenant, and that one by a key of the deployment, which no database holds. Without the row nothing opens.

-- Whoever destroys a key destroys it for good; a row that a backup brings back is destroyed again.
create function tenon.keep_destroyed() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.wrapped is null and new.wrapped is not null then
    raise exception 'a destroyed key stays destroyed' using errcode = '42501';
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
grant insert, update (wrapped, destroyed_at) on app.tenant_keys to tenon_worker;
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
  transaction_id xid8 not null default pg_current_xact_id(),
  primary key (tenant_id, subject),
  unique (tenant_id, kid),
  check ((wrapped is null) = (destroyed_at is not null)),
  check (cleared_at is null or destroyed_at is not null)
);
call tenon.protect('app.subject_keys');
grant select, insert, update (wrapped, destroyed_at) on app.subject_keys to tenon_app;
grant insert, update (wrapped, destroyed_at, cleared_at) on app.subject_keys to tenon_worker;
create trigger keep_destroyed before update on app.subject_keys for each row execute function tenon.keep_destroyed();

-- Under which tokens the sealed values of the event can be looked for: {"<kid>": ["<token in base64url>"]}.
alter table app.outbox add column index_tokens jsonb;

-- The worker erases people tenant by tenant, under the context of each: what her account consists of goes with its row.
grant delete on app.users, app.document_shares to tenon_worker;
grant update (user_id, metadata) on app.usage_events to tenon_worker;
grant insert, update on app.revocations to tenon_worker;
grant insert on app.security_event_deliveries to tenon_worker;
grant select, update on tenon.change_counter to tenon_worker;
grant execute on function tenon.announce(text, uuid, text), tenon.uuidv7(),
  tenon.enqueue_security_event(tenon.security_event), tenon.scim_events(text), tenon.scim_change(),
  tenon.changed_keys(jsonb, jsonb), tenon.session_ends() to tenon_worker;
grant usage on type tenon.security_event to tenon_worker;
