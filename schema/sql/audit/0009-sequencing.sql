-- Sequencing at speed. The head of a log changes with every batch that adds to it. Where no indexed value changes, the new
-- version of the row goes beside the old one without touching an index; a condition over the sizes themselves would count
-- them as indexed, one over whether they differ does not.

drop index app.log_heads_unsealed;
alter table app.log_heads add column unsealed boolean not null generated always as (size > sealed_size) stored;
create index log_heads_unsealed on app.log_heads (tenant_id) where unsealed;
-- Room in every page for such versions.
alter table app.log_heads set (fillfactor = 50);
