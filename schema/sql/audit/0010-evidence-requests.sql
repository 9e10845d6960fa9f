-- The event that asks for a pack: the pack waits until that one is sealed, so that it stands in the log it is built from.
alter table app.evidence_packs add column request_event uuid;
