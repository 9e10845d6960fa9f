-- The budgets of each tier, as operators set them while the platform runs. Gateways hold them in memory and read them
-- again at a message, which leaves at commit.
create table app.tier_limits (
  tier text primary key check (tier in ('FREE', 'GROWTH', 'ENTERPRISE', 'ENTERPRISE_PLUS')),
  -- {maxQueryCost, concurrency, tenant, client, user}, the last three with points by class and requests.
  limits jsonb not null check (jsonb_typeof(limits) = 'object' and length(limits::text) <= 4000),
  updated_at timestamptz not null default now()
);
grant select, update on app.tier_limits to tenon_app;
grant select on app.tier_limits to tenon_worker;

insert into app.tier_limits (tier, limits) values
('FREE', '{"maxQueryCost": 1000, "concurrency": 8,
  "tenant": {"points": {
      "query": {"capacity": 1000, "restorePerSecond": 50},
      "mutation": {"capacity": 1000, "restorePerSecond": 25},
      "bulk": {"capacity": 1000, "restorePerSecond": 10}},
    "requests": {"capacity": 500, "restorePerSecond": 25}},
  "client": {"points": {
      "query": {"capacity": 1000, "restorePerSecond": 37.5},
      "mutation": {"capacity": 1000, "restorePerSecond": 18.75},
      "bulk": {"capacity": 1000, "restorePerSecond": 7.5}},
    "requests": {"capacity": 375, "restorePerSecond": 18.75}},
  "user": {"points": {
      "query": {"capacity": 1000, "restorePerSecond": 25},
      "mutation": {"capacity": 1000, "restorePerSecond": 12.5},
      "bulk": {"capacity": 1000, "restorePerSecond": 5}},
    "requests": {"capacity": 250, "restorePerSecond": 12.5}}}'),
('GROWTH', '{"maxQueryCost": 1000, "concurrency": 16,
  "tenant": {"points": {
      "query": {"capacity": 2000, "restorePerSecond": 100},
      "mutation": {"capacity": 2000, "restorePerSecond": 50},
      "bulk": {"capacity": 2000, "restorePerSecond": 20}},
    "requests": {"capacity": 1000, "restorePerSecond": 50}},
  "client": {"points": {
      "query": {"capacity": 1500, "restorePerSecond": 75},
      "mutation": {"capacity": 1500, "restorePerSecond": 37.5},
      "bulk": {"capacity": 1500, "restorePerSecond": 15}},
    "requests": {"capacity": 750, "restorePerSecond": 37.5}},
  "user": {"points": {
      "query": {"capacity": 1000, "restorePerSecond": 50},
      "mutation": {"capacity": 1000, "restorePerSecond": 25},
      "bulk": {"capacity": 1000, "restorePerSecond": 10}},
    "requests": {"capacity": 500, "restorePerSecond": 25}}}'),
('ENTERPRISE', '{"maxQueryCost": 5000, "concurrency": 32,
  "tenant": {"points": {
      "query": {"capacity": 10000, "restorePerSecond": 500},
      "mutation": {"capacity": 10000, "restorePerSecond": 250},
      "bulk": {"capacity": 10000, "restorePerSecond": 100}},
    "requests": {"capacity": 5000, "restorePerSecond": 250}},
  "client": {"points": {
      "query": {"capacity": 7500, "restorePerSecond": 375},
      "mutation": {"capacity": 7500, "restorePerSecond": 187.5},
      "bulk": {"capacity": 7500, "restorePerSecond": 75}},
    "requests": {"capacity": 3750, "restorePerSecond": 187.5}},
  "user": {"points": {
      "query": {"capacity": 5000, "restorePerSecond": 250},
      "mutation": {"capacity": 5000, "restorePerSecond": 125},
      "bulk": {"capacity": 5000, "restorePerSecond": 50}},
    "requests": {"capacity": 2500, "restorePerSecond": 125}}}'),
('ENTERPRISE_PLUS', '{"maxQueryCost": 10000, "concurrency": 64,
  "tenant": {"points": {
      "query": {"capacity": 20000, "restorePerSecond": 1000},
      "mutation": {"capacity": 20000, "restorePerSecond": 500},
      "bulk": {"capacity": 20000, "restorePerSecond": 200}},
    "requests": {"capacity": 10000, "restorePerSecond": 500}},
  "client": {"points": {
      "query": {"capacity": 15000, "restorePerSecond": 750},
      "mutation": {"capacity": 15000, "restorePerSecond": 375},
      "bulk": {"capacity": 15000, "restorePerSecond": 150}},
    "requests": {"capacity": 7500, "restorePerSecond": 375}},
  "user": {"points": {
      "query": {"capacity": 10000, "restorePerSecond": 500},
      "mutation": {"capacity": 10000, "restorePerSecond": 250},
      "bulk": {"capacity": 10000, "restorePerSecond": 100}},
    "requests": {"capacity": 5000, "restorePerSecond": 250}}}');

-- Sends `limits *` on the channel tenon_changes: the budgets of every tenant may have changed.
create function tenon.announce_tier_limits() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_notify('tenon_changes', 'limits *');
  return null;
end
$$;
revoke all on function tenon.announce_tier_limits() from public;
create trigger announce_change after insert or update or delete on app.tier_limits for each statement
execute function tenon.announce_tier_limits();
