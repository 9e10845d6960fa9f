-- What an operator whom the tenant let in may read here: the log, whose personal values are sealed, and its proofs.
grant select on app.log_heads, app.log_entries, app.log_tiles, app.segments, app.log_search_blocks, app.log_search_words,
    app.log_alarms
  to tenon_support;
