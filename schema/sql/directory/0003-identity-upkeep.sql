-- A domain whose record is gone from DNS for long leads to nobody any more; the worker looks.
grant delete on app.email_domains to tenon_worker;
