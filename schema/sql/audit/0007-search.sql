-- Searching the log: an index by blocks of entries, made after sequencing, so that appending an entry pays for its two
-- keys alone, and by spans of 64 blocks, merged of theirs, so that a search through the whole log reads few rows. A word of
-- the index is a hash, and its partition the hash's first bits: one row holds the words of one block or span in one
-- partition, so a search reads one small row a block or span and word, by the primary key. An index of words proper (GIN)
-- is out of the question: none of its operators is leakproof, so under row security the planner may not use it.

drop index app.log_entries_by_actor;
drop index app.log_entries_by_action;
drop index app.log_entries_by_resource;
drop index app.log_entries_by_time;

-- Entries whose words stand in log_search_words. Entries behind a log's last block are read one by one.
create table app.log_search_blocks (
  tenant_id uuid not null default tenon.tenant_id(),
  -- 0 for a block of 4,096 entries, 1 for a span of 64 blocks.
  level smallint not null check (level in (0, 1)),
  epoch integer not null,
  block integer not null check (block >= 0),
  -- It holds the entries from first_seq to last_seq, both included.
  first_seq bigint not null,
  last_seq bigint not null,
  min_ts timestamptz not null,
  max_ts timestamptz not null,
  -- The earliest and the latest time of each 256 entries of a block, one after the other; a span has none.
  run_min_ts timestamptz[],
  run_max_ts timestamptz[],
  primary key (tenant_id, level, epoch, block),
  check (first_seq between 0 and last_seq),
  check (min_ts <= max_ts),
  check ((level = 0) = (run_min_ts is not null and run_max_ts is not null)),
  check (cardinality(run_min_ts) = (last_seq - first_seq) / 256 + 1),
  check (cardinality(run_max_ts) = cardinality(run_min_ts))
);
-- The last blocks of spans: few, among which the worker looks for a span that is not merged yet.
create index log_search_blocks_last_of_span on app.log_search_blocks (tenant_id, epoch, block)
  where level = 0 and block % 64 = 63;
call tenon.protect_for_worker('app.log_search_blocks');
grant select on app.log_search_blocks to tenon_app;
grant select, insert, delete on app.log_search_blocks to tenon_worker;

create table app.log_search_words (
  tenant_id uuid not null default tenon.tenant_id(),
  level smallint not null,
  -- The first 7 bits of the hashes in a block, the first 13 in a span.
  part smallint not null check (part between 0 and case level when 0 then 127 else 8191 end),
  epoch integer not null,
  block integer not null,
  -- By word, in the order of the hashes: 24 bits of the hash, then where it stands (docs/audit-search.md).
  postings bytea not null,
  primary key (tenant_id, level, part, epoch, block)
);
-- Hashes do not compress; trying would cost more than all the rest.
alter table app.log_search_words alter postings set storage external;
call tenon.protect_for_worker('app.log_search_words');
grant select on app.log_search_words to tenon_app;
grant select, insert, delete on app.log_search_words to tenon_worker;

-- Where entries leave a log (a database that was set back), what the index says of their places goes with them, and so
-- do the blocks behind, for blocks have no gaps. The lock is that of the worker's turn, which may be reading the entries.
create function tenon.drop_search_blocks() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  log record;
begin
  perform pg_advisory_xact_lock(1952804463, 7);
  for log in
    select tenant_id, epoch, l.level, parts, min(seq) / size as block
      from gone, (values (0::smallint, 4096, 128), (1::smallint, 262144, 8192)) as l (level, size, parts)
     group by tenant_id, epoch, l.level, size, parts
  loop
    delete from app.log_search_blocks b
     where b.tenant_id = log.tenant_id and b.level = log.level and b.epoch = log.epoch and b.block >= log.block;
    continue when not found;
    delete from app.log_search_words w
     where w.tenant_id = log.tenant_id and w.level = log.level and w.part between 0 and log.parts - 1
       and w.epoch = log.epoch and w.block >= log.block;
  end loop;
  return null;
end
$$;
create trigger drop_search_blocks after delete on app.log_entries referencing old table as gone
  for each statement execute function tenon.drop_search_blocks();
