-- What tenants and tiers were served: requests, failures and latency, added up by every gateway.

create table app.service_levels (
  tenant_id uuid not null default tenon.tenant_id() references app.tenants (tenant_id),
  hour timestamptz not null check (extract(epoch from hour)::bigint % 3600 = 0),
  -- The tier of the last request, whose objective the hour is measured against.
  tier text not null check (tier in ('FREE', 'GROWTH', 'ENTERPRISE', 'ENTERPRISE_PLUS')),
  requests bigint not null check (requests >= 0),
  failures bigint not null check (failures between 0 and requests),
  -- Longer than the objective of the tier at the time of the request.
  slow bigint not null check (slow between 0 and requests),
  -- Latency histogram of schema/latency-histogram.ts, without the zeros at its end.
  buckets integer[] not null check (cardinality(buckets) <= 140),
  primary key (tenant_id, hour)
);
call tenon.protect('app.service_levels');
-- The gateway adds to a row, and removes rows that are older than 13 months.
grant select, insert, update, delete on app.service_levels to tenon_app;

-- The same by tier, for the status page and the alerts. It belongs to the platform, under an id that no tenant can have:
-- no tenant's context reads or writes a row of it, and it names nobody.
create table app.tier_service_levels (
  tenant_id uuid not null default tenon.tenant_id() check (tenant_id = '00000000-0000-7000-8000-000000000000'),
  -- The same figures in windows of 5 minutes, an hour and a day (UTC), so that no reading adds up more than a few.
  minutes smallint not null check (minutes in (5, 60, 1440)),
  starts_at timestamptz not null check (extract(epoch from starts_at)::bigint % (60 * minutes) = 0),
  tier text not null check (tier in ('FREE', 'GROWTH', 'ENTERPRISE', 'ENTERPRISE_PLUS')),
  requests bigint not null check (requests >= 0),
  failures bigint not null check (failures between 0 and requests),
  slow bigint not null check (slow between 0 and requests),
  buckets integer[] not null check (cardinality(buckets) <= 140),
  primary key (tenant_id, minutes, starts_at, tier)
);
call tenon.protect('app.tier_service_levels');
grant select, insert, update, delete on app.tier_service_levels to tenon_app;
