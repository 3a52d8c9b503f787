-- What runs are sent while they go on: a value of an input stream each.
create table oncue.run_inputs (
    env_id int not null,
    run_id uuid not null,
    key text not null,
    -- From 0 on, without gaps: whoever sends holds the row of the run.
    number bigint not null,
    -- Names the sending: one that is sent again is stored once.
    part text not null,
    -- JSON in one line.
    data text not null,
    created_at timestamptz not null default oncue.now(),
    primary key (env_id, run_id, key, number),
    unique (env_id, run_id, key, part)
);
