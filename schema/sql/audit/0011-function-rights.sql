-- A new function may be called by everybody unless that is taken back; these are for triggers of the worker alone.
revoke all on function tenon.keep_entries(), tenon.keep_segments(), tenon.drop_search_blocks(),
  tenon.know_segment(), tenon.know_platform_object(),
  tenon.know_object(uuid, text, timestamptz, timestamptz, bigint, bytea) from public;
grant execute on function tenon.know_object(uuid, text, timestamptz, timestamptz, bigint, bytea) to tenon_worker;
