-- Audit events, written in the transaction they speak of and drained by the compliance worker.

create table app.outbox (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  position bigint generated always as identity,
  id uuid not null,
  -- The worker takes rows of transactions that ended before every one still running, so no late commit is skipped.
  transaction_id xid8 not null default pg_current_xact_id(),
  outcome text not null check (outcome in ('success', 'denied', 'failure')),
  -- Canonical JSON (RFC 8785) as text: what is hashed later is what was written here, to the byte.
  event text not null check (octet_length(event) <= 64000),
  primary key (tenant_id, position),
  unique (tenant_id, id)
);
create index outbox_by_position on app.outbox (position);
call tenon.protect_for_worker('app.outbox');
grant insert on app.outbox to tenon_app;
grant select, delete on app.outbox to tenon_worker;
