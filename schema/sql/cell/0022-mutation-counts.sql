-- Mutations that gateways let through and that answered without an error, until the compliance worker has found the event
-- of each in the log; and those that were under way when a gateway was killed.

create table app.mutation_notes (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- UUIDv7, made by the gateway, so that a note that is written again is the same row.
  id uuid not null,
  request_id text not null check (length(request_id) <= 100),
  action text not null check (length(action) <= 200),
  noted_at timestamptz not null,
  -- False where nobody knows whether it was done: it counts where the log holds an event of it.
  answered boolean not null default true,
  -- Set before the notes are counted in the audit database, which remembers the batch.
  batch uuid,
  primary key (tenant_id, id)
);
create index mutation_notes_by_time on app.mutation_notes (noted_at);
call tenon.protect_for_worker('app.mutation_notes');
grant insert on app.mutation_notes to tenon_app;
grant select, delete on app.mutation_notes to tenon_worker;
grant update (batch) on app.mutation_notes to tenon_worker;
