-- Outside anchors: what others have said of the platform's checkpoints, and the rotations of the key that signs them. All
-- rows belong to the platform, as in 0003.

-- What a time stamp authority or witnesses have answered to one checkpoint; written once, then brought into the archive.
create table app.platform_anchors (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  epoch integer not null,
  size bigint not null,
  kind text not null check (kind in ('tsr', 'cosig')),
  -- The RFC 3161 answer (DER), or the checkpoint with the cosignatures below it (UTF-8).
  bytes bytea not null check (octet_length(bytes) <= 65536),
  -- By the clock of the authority, or of the witness that signed last.
  attested_at timestamptz not null,
  made_at timestamptz not null,
  key text not null,
  retain_until timestamptz not null,
  archived_at timestamptz,
  primary key (tenant_id, epoch, size, kind)
);
create index platform_anchors_newest on app.platform_anchors (kind, made_at desc);
create index platform_anchors_open on app.platform_anchors (made_at) where archived_at is null;
call tenon.protect_for_worker('app.platform_anchors');
grant select on app.platform_anchors to tenon_app;
grant select, insert, update on app.platform_anchors to tenon_worker;

-- How it stands with each authority and witness.
create table app.anchor_sources (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  -- The address of the authority, or the verifier key of the witness.
  source text not null check (length(source) <= 2048),
  -- The last checkpoint that a witness has cosigned.
  known_epoch integer,
  known_size bigint,
  succeeded_at timestamptz,
  failures integer not null default 0,
  failing_since timestamptz,
  retry_at timestamptz,
  fault text,
  -- When operators were told that it fails.
  alarmed_at timestamptz,
  primary key (tenant_id, source),
  check ((failures = 0) = (failing_since is null))
);
call tenon.protect_for_worker('app.anchor_sources');
grant select on app.anchor_sources to tenon_app;
grant select, insert, update on app.anchor_sources to tenon_worker;

-- Statements that a newer key has taken over, signed by both.
create table app.key_rotations (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  number integer not null check (number > 0),
  statement text not null check (octet_length(statement) <= 65536),
  key text not null,
  retain_until timestamptz not null,
  archived_at timestamptz,
  primary key (tenant_id, number)
);
call tenon.protect_for_worker('app.key_rotations');
grant select on app.key_rotations to tenon_app;
grant select, insert, update on app.key_rotations to tenon_worker;
