-- What a run that starts again from the top needs, so that its durable calls find what they made before.

-- The call of the parent that made a run or a batch, and in which of the parent's attempts. Together with the parent it
-- is the journal: a call that is made again in the same attempt stands for what it made first.
alter table oncue.runs
    add column call_key text,
    add column parent_attempt smallint;

alter table oncue.batches
    add column call_key text,
    add column parent_attempt smallint;

create index runs_children on oncue.runs (env_id, parent_id) where parent_id is not null;

create index batches_children on oncue.batches (env_id, parent_id) where parent_id is not null;
