-- Which version of its action's schema an event was checked against: it enters the log with the event, so an old entry
-- can be read against the schema of its time.

alter table app.outbox add column action_version integer not null default 1 check (action_version > 0);
-- Rows from before are of version 1; from now on the writer says which.
alter table app.outbox alter column action_version drop default;
