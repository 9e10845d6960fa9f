-- Which price plan a tenant is on, and the invoices that were rated by it.

-- Append-only: the newest row before a moment names the plan of that moment.
create table app.subscriptions (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  started_at timestamptz not null,
  -- A plan document of the program, by name and version.
  plan text not null check (plan ~ '^[a-z][a-z0-9_-]{0,62}$'),
  plan_version integer not null check (plan_version >= 1),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  primary key (tenant_id, started_at)
);
call tenon.protect('app.subscriptions');
grant select, insert on app.subscriptions to tenon_app;

-- The last number given out; its row is locked while an invoice is drafted, so a tenant's numbers have no gap and no
-- two drafts of her race each other.
create table app.invoice_counters (
  tenant_id uuid primary key default tenon.tenant_id() references app.tenants (tenant_id),
  year integer not null default 0,
  last_number integer not null default 0
);
call tenon.protect('app.invoice_counters');
grant select, insert, update on app.invoice_counters to tenon_app;

create table app.invoices (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  id uuid not null,
  number text not null check (number ~ '^INV-\d{4}-\d{6,}$'),
  status text not null check (status in ('draft')),
  plan text not null,
  plan_version integer not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  -- Decimals of the currency's minor unit (ISO 4217).
  exponent smallint not null check (exponent between 0 and 4),
  rounding text not null check (rounding in ('half_up')),
  -- The start belongs to the period, the end to the next one.
  period_start timestamptz not null,
  period_end timestamptz not null check (period_end > period_start),
  total_minor numeric not null check (scale(total_minor) = 0),
  drafted_at timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, number),
  unique (tenant_id, period_start, period_end)
);
call tenon.protect('app.invoices');
grant select, insert, update on app.invoices to tenon_app;

create table app.invoice_lines (
  tenant_id uuid not null default tenon.tenant_id(),
  invoice_id uuid not null,
  position integer not null check (position >= 1),
  metric text not null,
  quantity numeric not null check (quantity >= 0),
  -- Exact, and as rounded to minor units: the difference is on record.
  amount numeric not null,
  amount_minor numeric not null check (scale(amount_minor) = 0),
  -- How the amount comes about: [{up_to, unit_price, quantity, amount}], decimals as text.
  tiers jsonb not null check (jsonb_typeof(tiers) = 'array'),
  primary key (tenant_id, invoice_id, position),
  foreign key (tenant_id, invoice_id) references app.invoices (tenant_id, id) on delete cascade
);
call tenon.protect('app.invoice_lines');
grant select, insert, delete on app.invoice_lines to tenon_app;
