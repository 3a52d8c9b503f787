-- Results of steps: what a run did itself and must not do again when it starts again from the top.

create table oncue.steps (
    env_id int not null,
    run_id uuid not null,
    attempt smallint not null,
    -- The step's name, and which of the attempt's steps of that name it is.
    call_key text not null,
    output text not null,
    created_at timestamptz not null default oncue.now(),
    primary key (env_id, run_id, attempt, call_key)
);
