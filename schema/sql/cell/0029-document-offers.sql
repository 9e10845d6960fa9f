-- Documents that one tenant shows to another, who may live in another cell: a row of hers for the offer, a row of the other
-- one's for having taken it. Nothing of the document leaves the cell of its owner but in the answer to who reads it.

create table app.document_offers (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  document_id uuid not null,
  -- Whether there is such a tenant is known to nobody here.
  recipient_id uuid not null check (recipient_id <> tenant_id),
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  accepted_at timestamptz,
  ended_at timestamptz,
  ended_by text check (ended_by in ('owner', 'recipient')),
  primary key (tenant_id, id),
  foreign key (tenant_id, document_id) references app.documents (tenant_id, id) on delete cascade,
  check ((ended_at is null) = (ended_by is null))
);
create index document_offers_by_document on app.document_offers (tenant_id, document_id);
call tenon.protect('app.document_offers');
grant select, insert, update, delete on app.document_offers to tenon_app;

create table app.received_documents (
  tenant_id uuid not null default tenon.tenant_id(),
  -- That of the offer.
  id uuid not null,
  owner_id uuid not null check (owner_id <> tenant_id),
  accepted_at timestamptz not null,
  ended_at timestamptz,
  ended_by text check (ended_by in ('owner', 'recipient')),
  primary key (tenant_id, id),
  check ((ended_at is null) = (ended_by is null))
);
call tenon.protect('app.received_documents');
grant select, insert, update on app.received_documents to tenon_app;
