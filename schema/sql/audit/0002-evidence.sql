-- Evidence packs: asked for by the tenant, built by the worker, kept in the tenant's own region.

create table app.evidence_packs (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  kind text not null check (kind in ('soc2', 'gdpr_access', 'tenant_export')),
  -- The person an access export is about; null for other kinds.
  subject_id uuid,
  window_from timestamptz not null,
  window_to timestamptz not null check (window_to > window_from),
  state text not null default 'requested' check (state in ('requested', 'building', 'ready', 'failed', 'expired')),
  requested_by text not null,
  requested_at timestamptz not null default now(),
  finished_at timestamptz,
  size_bytes bigint,
  sha256 bytea check (octet_length(sha256) = 32),
  failure text,
  primary key (tenant_id, id),
  check ((kind = 'gdpr_access') = (subject_id is not null))
);
create index evidence_packs_open on app.evidence_packs (requested_at) where state in ('requested', 'building');
create index evidence_packs_ready on app.evidence_packs (finished_at) where state = 'ready';
call tenon.protect_for_worker('app.evidence_packs');
grant select, insert on app.evidence_packs to tenon_app;
grant select, update on app.evidence_packs to tenon_worker;

-- The bytes of a pack in pieces of 1 MiB, so that neither side holds a whole one in memory.
create table app.evidence_chunks (
  tenant_id uuid not null default tenon.tenant_id(),
  pack_id uuid not null,
  number integer not null,
  bytes bytea not null,
  primary key (tenant_id, pack_id, number),
  foreign key (tenant_id, pack_id) references app.evidence_packs (tenant_id, id) on delete cascade
);
call tenon.protect_for_worker('app.evidence_chunks');
grant select on app.evidence_chunks to tenon_app;
grant select, insert, delete on app.evidence_chunks to tenon_worker;
