-- What decides on the steps of a tenant's life beside the days: her contract, what she owes, and what she was told.

alter table app.tenants add column state_step text check (length(state_step) <= 40);

create table app.tenant_contracts (
  tenant_id uuid primary key default tenon.tenant_id() references app.tenants (tenant_id),
  source text not null check (source in ('self_service', 'sales')),
  trial_ends_at timestamptz,
  -- When somebody agreed to pay, and who: a public id.
  confirmed_at timestamptz,
  confirmed_by text check (length(confirmed_by) between 1 and 200),
  -- When the mail that announces the conversion was handed to the mail server.
  announced_at timestamptz,
  unpaid_since timestamptz,
  unpaid_reference text check (length(unpaid_reference) between 1 and 200),
  -- What differs from the days of the tier.
  days jsonb not null default '{}' check (jsonb_typeof(days) = 'object' and length(days::text) <= 1000),
  -- When nothing of her was left in any store; whoever erases says so.
  erased_at timestamptz,
  updated_at timestamptz not null default now(),
  check ((confirmed_at is null) = (confirmed_by is null))
);
call tenon.protect('app.tenant_contracts');
grant select, insert, update on app.tenant_contracts to tenon_app;
grant update (announced_at, erased_at, updated_at) on app.tenant_contracts to tenon_worker;

-- Mails of her life, each once.
create table app.tenant_notices (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  notice text not null check (length(notice) between 1 and 40),
  -- What it is about: the end of the trial, or when she came into a state.
  about timestamptz not null,
  asked_at timestamptz not null,
  sent_at timestamptz,
  primary key (tenant_id, notice, about)
);
call tenon.protect('app.tenant_notices');
grant select, insert on app.tenant_notices to tenon_app;
grant insert, update (sent_at) on app.tenant_notices to tenon_worker;

-- The clock takes steps in the worker, tenant by tenant, under the context of each.
grant update (state, state_since, state_step, version, updated_at) on app.tenants to tenon_worker;

-- Whoever is there and past her trial has agreed to be.
alter table app.tenants no force row level security;
alter table app.tenant_contracts no force row level security;
insert into app.tenant_contracts (tenant_id, source, trial_ends_at, confirmed_at, confirmed_by)
  select tenant_id, 'sales',
         case when state = 'trial' then state_since + interval '14 days' end,
         case when state not in ('provisioning', 'trial') then created_at end,
         case when state not in ('provisioning', 'trial') then 'platform' end
    from app.tenants;
alter table app.tenants force row level security;
alter table app.tenant_contracts force row level security;
