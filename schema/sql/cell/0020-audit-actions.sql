-- Which version of its action's schema an event was checked against: it enters the log with the event, so an old entry
-- can be read against the schema of its time.

alter table app.outbox add column action_version integer not null default 1 check (action_version > 0);
-- Rows from before are of version 1; from now on the writer says which.
alter table app.outbox alter column action_version drop default;

-- Under which tokens the sealed values of the event can be looked for: {"<kid>": ["<token in base64url>"]}.
alter table app.outbox add column index_tokens jsonb;

-- An event is written with every mutation, so nothing is asked of it that is known already: whose it is was checked against
-- the signed context by the wall of the table, and the worker reads by position.
alter table app.outbox drop constraint outbox_tenant_id_fkey;
alter table app.outbox drop constraint outbox_pkey;
alter table app.outbox drop constraint outbox_tenant_id_id_key;
alter table app.outbox add primary key (tenant_id, id);

-- Writes an event with the rights and under the wall of its caller. What PostgreSQL makes of the statement it keeps for the
-- session here, where nobody can put another in its place; a statement of the caller's own it would plan each time.
create function tenon.append_event(
  owner uuid, event_id uuid, result text, version integer, body text, tokens jsonb
) returns void
language plpgsql
as $$
begin
  insert into app.outbox (tenant_id, id, outcome, action_version, event, index_tokens)
  values (owner, event_id, result, version, body, tokens);
end
$$;
revoke all on function tenon.append_event(uuid, uuid, text, integer, text, jsonb) from public;
grant execute on function tenon.append_event(uuid, uuid, text, integer, text, jsonb) to tenon_app, tenon_worker;

-- Events that have left the outbox for their logs, until the archive holds them: where the audit database is set back to an
-- older point, the logs get them again from here.
create table app.sequenced_events (
  tenant_id uuid not null default tenon.tenant_id(),
  id uuid not null,
  -- As in outbox.
  position bigint not null,
  outcome text not null,
  action_version integer not null,
  event text not null,
  index_tokens jsonb,
  -- Where the event stands in its log.
  epoch integer not null,
  seq bigint not null,
  primary key (tenant_id, id)
);
call tenon.protect_for_worker('app.sequenced_events');
grant select, insert, update, delete on app.sequenced_events to tenon_worker;
