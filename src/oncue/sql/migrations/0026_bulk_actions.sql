-- Bulk actions: many runs are cancelled, or replayed, at one request.

create table oncue.bulk_actions (
    env_id int not null references oncue.environments,
    id uuid not null,
    type text not null check (type in ('CANCEL', 'REPLAY')),
    name text,
    -- Where replays run; null: where their originals were to.
    region text,
    status text not null check (status in ('PENDING', 'COMPLETED', 'ABORTED')),
    created_at timestamptz not null default oncue.now(),
    finished_at timestamptz,
    total int not null,
    succeeded int not null default 0,
    failed int not null default 0,
    -- The last run that was acted upon: they are taken in the order of their ids.
    done_to uuid,
    primary key (env_id, id),
    check ((status = 'PENDING') = (finished_at is null))
);

create index bulk_actions_pending on oncue.bulk_actions (created_at) where status = 'PENDING';

-- What was chosen when the action was made: a run that comes to match afterwards, such as a replay that fails as its
-- original did, is none of its.
create table oncue.bulk_runs (
    env_id int not null,
    action_id uuid not null,
    run_id uuid not null,
    -- The run that was cancelled, or that the replay made.
    result_id uuid,
    primary key (env_id, action_id, run_id)
);

create index bulk_runs_result on oncue.bulk_runs (env_id, action_id, result_id) where result_id is not null;
