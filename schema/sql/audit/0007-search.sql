-- Searching the log: an index by blocks of entries, made after sequencing, so that appending an entry pays for its two
-- keys alone. A word of the index is a hash, and its partition the hash's first bits: one row holds the words of one
-- block in one partition, so a search reads one small row a block and word, by the primary key. An index of words proper
-- (GIN) is out of the question: none of its operators is leakproof, so under row security the planner may not use it.

drop index app.log_entries_by_actor;
drop index app.log_entries_by_action;
drop index app.log_entries_by_resource;
drop index app.log_entries_by_time;

-- Entries whose words stand in log_search_words. Entries behind a log's last block are read one by one.
create table app.log_search_blocks (
  tenant_id uuid not null default tenon.tenant_id(),
  epoch integer not null,
  block integer not null check (block >= 0),
  -- The block holds the entries from first_seq to last_seq, both included.
  first_seq bigint not null,
  last_seq bigint not null,
  min_ts timestamptz not null,
  max_ts timestamptz not null,
  primary key (tenant_id, epoch, block),
  check (first_seq between 0 and last_seq),
  check (min_ts <= max_ts)
);
call tenon.protect_for_worker('app.log_search_blocks');
grant select on app.log_search_blocks to tenon_app;
grant select, insert, delete on app.log_search_blocks to tenon_worker;

create table app.log_search_words (
  tenant_id uuid not null default tenon.tenant_id(),
  part smallint not null check (part between 0 and 63),
  epoch integer not null,
  block integer not null,
  -- Sorted 32-bit numbers, big-endian: the other 24 bits of a word's hash, then the run of the block where it occurs.
  postings bytea not null check (octet_length(postings) % 4 = 0),
  primary key (tenant_id, part, epoch, block)
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
begin
  perform pg_advisory_xact_lock(1952804463, 7);
  delete from app.log_search_words w
    using (select tenant_id, epoch, min(seq) / 4096 as block from gone group by tenant_id, epoch) g, generate_series(0, 63) p
    where w.tenant_id = g.tenant_id and w.part = p and w.epoch = g.epoch and w.block >= g.block;
  delete from app.log_search_blocks b
    using (select tenant_id, epoch, min(seq) / 4096 as block from gone group by tenant_id, epoch) g
    where b.tenant_id = g.tenant_id and b.epoch = g.epoch and b.block >= g.block;
  return null;
end
$$;
create trigger drop_search_blocks after delete on app.log_entries referencing old table as gone
  for each statement execute function tenon.drop_search_blocks();
