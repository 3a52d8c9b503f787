-- A batch whose items are sent as they come, and that is sealed with their number when there are no more.

alter table oncue.batches
    -- Until it is sealed `run_count` is the most that it may have.
    add column open boolean not null default false,
    -- When items last came: from then on the time runs in which the next must come.
    add column filled_at timestamptz;
