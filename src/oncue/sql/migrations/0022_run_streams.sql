-- Streams of values that runs send to whoever follows them.

-- A stream, and how many chunks it has: whoever appends holds this row, so that numbers become visible in order.
create table oncue.run_streams (
    env_id int not null,
    run_id uuid not null,
    key text not null,
    chunks bigint not null default 0,
    created_at timestamptz not null default oncue.now(),
    primary key (env_id, run_id, key)
);

create table oncue.stream_chunks (
    env_id int not null,
    run_id uuid not null,
    key text not null,
    -- From 0 on, without gaps.
    number bigint not null,
    -- Who wrote it, and which of the writer's chunks it is: one that is sent again is stored once.
    writer text not null,
    part bigint not null,
    -- JSON in one line.
    data text not null,
    created_at timestamptz not null default oncue.now(),
    primary key (env_id, run_id, key, number),
    unique (env_id, run_id, key, writer, part)
);
