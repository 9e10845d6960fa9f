-- What people have asked the tenant for under the GDPR, and until when she has to answer. Whatever answers a request has its
-- own row elsewhere: an evidence pack, or an erasure.
create table app.privacy_requests (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  -- UUIDv7.
  id uuid not null,
  kind text not null check (kind in ('access', 'erasure')),
  -- The person; no foreign key, since the request outlives her.
  subject_id uuid not null,
  -- What it is called in the books of the tenant; it names nobody.
  reference text check (length(reference) between 1 and 200),
  received_at timestamptz not null,
  -- A month after it was received, or after its extension up to three (Article 12(3)).
  due_at timestamptz not null check (due_at > received_at),
  extended_at timestamptz,
  extension_reason text check (length(extension_reason) between 1 and 500),
  -- Public id of the actor.
  requested_by text not null check (length(requested_by) between 1 and 200),
  created_at timestamptz not null,
  -- The pack that is to answer it, or the event of the erasure.
  pack_id uuid,
  event_id uuid,
  answered_at timestamptz,
  primary key (tenant_id, id),
  check ((kind = 'access') = (pack_id is not null)),
  check ((kind = 'erasure') = (event_id is not null)),
  check ((extended_at is null) = (extension_reason is null))
);
create index privacy_requests_open on app.privacy_requests (due_at) where answered_at is null;
create index privacy_requests_by_subject on app.privacy_requests (tenant_id, subject_id);
create index privacy_requests_by_pack on app.privacy_requests (tenant_id, pack_id);
call tenon.protect_for_worker('app.privacy_requests');
grant select, insert, update (due_at, extended_at, extension_reason, answered_at) on app.privacy_requests to tenon_app;
grant update (answered_at) on app.privacy_requests to tenon_worker;

-- The administrators that there are may export all that their tenant has.
alter table app.roles no force row level security;
update app.roles set scopes = scopes || array['tenant:export']
  where built_in and name = 'admin' and not scopes && array['tenant:export'];
-- What the change of a role announces is announced now: the table cannot be altered before.
set constraints all immediate;
alter table app.roles force row level security;
