-- What tasks log of their runs.

create table oncue.run_logs (
    env_id int not null,
    run_id uuid not null,
    -- The execution, and which of its worker's lines: together the order in which they were written.
    epoch int not null,
    number bigint not null,
    attempt smallint not null,
    -- By the worker's clock.
    at timestamptz not null,
    level text not null,
    message text not null,
    -- JSON object; null: none.
    fields text,
    primary key (env_id, run_id, epoch, number)
);
