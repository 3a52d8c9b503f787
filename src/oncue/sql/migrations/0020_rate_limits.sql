-- How much of each rate limit is left.

-- Unlogged, since it changes all the time and is soon told anew: after a crash every bucket is full.
create unlogged table oncue.rate_limits (
    env_id int not null,
    kind text not null check (kind in ('requests', 'batch_items')),
    -- At `at`; below zero where more was taken at once than a bucket holds.
    tokens double precision not null,
    at timestamptz not null,
    -- By the last that asked; here so that the statement that takes can say what it took.
    taken double precision not null,
    primary key (env_id, kind)
)
with (fillfactor = 50);
