-- Looking for sealed personal values, and erasing them.

-- Blind index: the token of a word or an address, which only whoever has the tenant's key can make, leads to the blocks
-- of 256 entries in which a value sealed under a person's key holds it.
create table app.log_index_tokens (
  tenant_id uuid not null default tenon.tenant_id(),
  token bytea not null check (octet_length(token) = 16),
  -- The person's key, by its name.
  key_id text not null,
  epoch integer not null,
  block integer not null,
  primary key (tenant_id, token, key_id, epoch, block)
);
create index log_index_tokens_by_key on app.log_index_tokens (tenant_id, key_id);
call tenon.protect_for_worker('app.log_index_tokens');
grant select on app.log_index_tokens to tenon_app;
grant select, insert, delete on app.log_index_tokens to tenon_worker;

-- Blocks whose entries came back from the archive, where no tokens lie: they are made again from the values themselves.
create table app.log_token_gaps (
  tenant_id uuid not null default tenon.tenant_id(),
  epoch integer not null,
  block integer not null,
  primary key (tenant_id, epoch, block)
);
call tenon.protect_for_worker('app.log_token_gaps');
grant select, insert, delete on app.log_token_gaps to tenon_worker;

-- Erasures, each as the log tells of it. The key is gone before the event is written; the row says how far the rest has
-- come, so that whoever goes on after a crash, or after a backup was restored, knows what to do again.
create table app.erasures (
  tenant_id uuid not null default tenon.tenant_id(),
  -- The event that tells of it.
  event_id uuid not null,
  epoch integer not null,
  seq bigint not null,
  -- Of the entry, so that a certificate can be made for exactly this one.
  leaf bytea not null check (octet_length(leaf) = 32),
  -- The person; null where the whole tenant has ended.
  subject_id uuid,
  -- The destroyed key; null for a tenant.
  key_id text,
  basis text not null,
  request text,
  requested_at timestamptz not null,
  -- When nothing of it was left, and what was removed where; null until then.
  erased_at timestamptz,
  stores jsonb,
  -- The signed statement (DSSE), once it lies in the archive too.
  statement text,
  -- Since when a legal hold stops it.
  held_since timestamptz,
  -- Of a tenant: how many rows went so far, table by table.
  erased jsonb not null default '{}',
  primary key (tenant_id, event_id),
  check ((subject_id is null) = (key_id is null)),
  check ((erased_at is null) = (stores is null)),
  check (statement is null or erased_at is not null)
);
create index erasures_open on app.erasures (requested_at) where statement is null;
create index erasures_by_subject on app.erasures (tenant_id, subject_id);
create index erasures_by_place on app.erasures (tenant_id, epoch, seq desc);
call tenon.protect_for_worker('app.erasures');
grant select on app.erasures to tenon_app;
grant select, insert, update (erased_at, stores, statement, held_since) on app.erasures to tenon_worker;
