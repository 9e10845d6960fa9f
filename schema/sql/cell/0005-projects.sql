-- The example product: projects, their documents, and whom these are shared with.

create table app.projects (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  name text not null check (length(name) between 1 and 200),
  created_at timestamptz not null default now(),
  primary key (tenant_id, id)
);
call tenon.protect('app.projects');
grant select, insert, update, delete on app.projects to tenon_app;

create table app.documents (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  project_id uuid not null,
  name text not null check (length(name) between 1 and 200),
  body text not null default '' check (length(body) <= 100000),
  -- A user of the identity subgraph; no foreign key, since a document outlives its author.
  author_id uuid,
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  foreign key (tenant_id, project_id) references app.projects (tenant_id, id) on delete cascade
);
create index documents_by_project on app.documents (tenant_id, project_id, id desc);
create index documents_by_author on app.documents (tenant_id, author_id);
call tenon.protect('app.documents');
grant select, insert, update, delete on app.documents to tenon_app;

create table app.document_shares (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  document_id uuid not null,
  recipient text not null check (length(recipient) between 3 and 320),
  permission text not null check (permission in ('view', 'comment', 'edit')),
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  foreign key (tenant_id, document_id) references app.documents (tenant_id, id) on delete cascade
);
create unique index document_shares_by_recipient on app.document_shares (tenant_id, document_id, lower(recipient));
call tenon.protect('app.document_shares');
grant select, insert, update, delete on app.document_shares to tenon_app;
