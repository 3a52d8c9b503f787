-- The data model of oncue.
--
-- Tables, from cold to hot:
--
--   projects, environments, secret_keys    who may call
--   tasks, queues                          what workers announced and callers named
--   runs (partitioned by day)              what was asked of each run, and how it ended: one insert, one final update
--   batches                                a list of runs that was triggered together
--   live                                   one narrow row for each run that has not ended: where it stands now
--   lanes, lines                           who may go next: see below
--   waits, notices                         who waits for what; what a worker has yet to be told
--   workers                                who executes, and until when its lease holds
--
-- A run's status is that of its live row while it has one, and runs.status afterwards.
--
-- A lane is (queue, concurrency key) and holds the slots: `running` of at most `slots`. A line is (lane, task) and
-- holds an ordered row of pending runs: live rows with that line_id, by `ord`. A claim serves the lines longest
-- unserved, so a line with 100,000 runs gets one turn like a line with one. `eligible` says that a line has runs
-- and its lane has room; it is kept true by whoever changes either.
--
-- Locks are taken in this order everywhere: queues (by id), worker, live rows of the runs concerned (by run_id), batches
-- (by id), live rows of waiting parents (by run_id), waits, lines (by id), lanes (by id). Three go against it and never
-- wait: a claim locks lines before the pending runs in them, a grant lanes before the runs it resumes, and both pass
-- over runs that somebody else has locked. A changed limit locks lanes before it marks their runs; should a run end at
-- that moment, PostgreSQL breaks the deadlock and one of the two is done again.

create schema if not exists oncue;

-- Time is a parameter: the database's clock, unless a test has set another.
create function oncue.now() returns timestamptz
    language sql stable parallel safe
    return coalesce(nullif(current_setting('oncue.now', true), '')::timestamptz, pg_catalog.now());

-- The moment as microseconds: what a line is ordered by.
create function oncue.ord(moment timestamptz) returns bigint
    language sql immutable parallel safe
    return (extract(epoch from moment) * 1000000)::bigint;

-- The smallest id that can have been minted at a moment: ids are UUIDv7, so time is their head.
create function oncue.id_at(moment timestamptz) returns uuid
    language sql immutable parallel safe
    return (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

create type oncue.run_status as enum (
    'DELAYED', 'PENDING_VERSION', 'PENDING', 'EXECUTING', 'WAITING_TO_RESUME', 'RETRYING_AFTER_FAILURE',
    'COMPLETED_SUCCESSFULLY', 'COMPLETED_WITH_ERRORS', 'CANCELED', 'CRASHED', 'SYSTEM_FAILURE', 'EXPIRED', 'TIMED_OUT'
);

create table oncue.projects (
    id int generated always as identity primary key,
    ref text not null unique,
    name text not null,
    created_at timestamptz not null default oncue.now()
);

create table oncue.environments (
    id int generated always as identity primary key,
    project_id int not null references oncue.projects,
    slug text not null,
    kind text not null check (kind in ('DEVELOPMENT', 'PRODUCTION')),
    -- Runs that may execute at once in the whole environment; null: as many as workers have places for.
    concurrency_limit int check (concurrency_limit >= 0),
    created_at timestamptz not null default oncue.now(),
    unique (project_id, slug)
);

create table oncue.secret_keys (
    id int generated always as identity primary key,
    env_id int not null references oncue.environments,
    name text not null,
    -- SHA-256 of the key: a fast hash is right for a secret of 142 random bits.
    hash bytea not null unique check (length(hash) = 32),
    -- The last four characters, so that a person can tell keys apart.
    hint text not null,
    created_at timestamptz not null default oncue.now(),
    revoked_at timestamptz
);

create table oncue.queues (
    id int generated always as identity primary key,
    env_id int not null references oncue.environments,
    name text not null,
    -- What the code says, and what an operator says instead: a deploy changes only the first.
    code_limit int check (code_limit >= 0),
    override_limit int check (override_limit >= 0),
    paused boolean not null default false,
    created_at timestamptz not null default oncue.now(),
    unique (env_id, name)
);

create table oncue.tasks (
    id int generated always as identity primary key,
    env_id int not null references oncue.environments,
    slug text not null,
    queue text not null,
    -- RetryPolicy as JSON; null: no retry.
    retry text,
    machine text,
    ttl interval,
    max_duration interval,
    payload_schema text,
    file text,
    announced_at timestamptz not null default oncue.now(),
    unique (env_id, slug)
);

create table oncue.runs (
    env_id int not null,
    id uuid not null,
    task text not null,
    queue text not null,
    concurrency_key text,
    payload text,
    payload_type text not null default 'application/json',
    metadata text,
    tags text[] not null default '{}',
    priority int not null default 0,
    max_attempts smallint,
    max_duration interval,
    delay_until timestamptz,
    is_test boolean not null default false,
    parent_id uuid,
    root_id uuid,
    depth int not null default 0,
    batch_id uuid,
    -- Whether the parent waited for this run when it triggered it.
    awaited boolean not null default false,
    created_at timestamptz not null,

    -- Written once, when the run ends.
    status oncue.run_status check (status >= 'COMPLETED_SUCCESSFULLY'),
    epoch int,
    attempts smallint,
    started_at timestamptz,
    finished_at timestamptz,
    compute_ms bigint,
    output text,
    output_type text,
    error text,

    primary key (env_id, id),
    check ((status is null) = (finished_at is null))
) partition by range (id);

-- Ids outside of every day there is a partition for; empty unless a caller's clock is far off.
create table oncue.runs_default partition of oncue.runs default with (fillfactor = 80);

-- Make the partition of one day (UTC). Returns whether it was missing.
create function oncue.make_runs_partition(day date) returns boolean
    language plpgsql
as $$
declare
    name text := 'runs_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass('oncue.' || name) is not null then
        return false;
    end if;
    execute format(
        'create table oncue.%I partition of oncue.runs for values from (%L) to (%L) with (
            fillfactor = 80, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_insert_scale_factor = 0.2)',
        name,
        oncue.id_at(day::timestamp at time zone 'UTC'),
        oncue.id_at((day + 1)::timestamp at time zone 'UTC')
    );
    return true;
end
$$;

create table oncue.batches (
    env_id int not null,
    id uuid not null,
    run_count int not null check (run_count > 0),
    -- Runs (and refused items) that there are, and how many of them have ended.
    filled int not null default 0,
    ended int not null default 0,
    sealed_at timestamptz,
    finished_at timestamptz,
    aborted text,
    parent_id uuid,
    -- The parent waits for it.
    waits boolean not null default false,
    created_at timestamptz not null default oncue.now(),
    primary key (env_id, id),
    check (filled <= run_count and ended <= filled)
);

-- Batches that nobody has filled yet: what the reaper looks at.
create index batches_open on oncue.batches (env_id, created_at) where sealed_at is null and finished_at is null;

create table oncue.lanes (
    id bigint generated always as identity primary key,
    queue_id int not null references oncue.queues on delete cascade,
    -- Empty for runs without a key, which no caller can send: equality finds a lane by its index, as "is not distinct
    -- from" would not.
    concurrency_key text not null,
    -- The queue's effective limit; null: none, and then `running` is not counted.
    slots int,
    running int not null default 0,
    -- Runs whose wait is over and that have no slot yet: they go before any new one.
    resuming int not null default 0,
    unique (queue_id, concurrency_key)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

create table oncue.lines (
    id bigint generated always as identity primary key,
    env_id int not null,
    lane_id bigint not null references oncue.lanes on delete cascade,
    task_id int not null references oncue.tasks on delete cascade,
    pending int not null default 0 check (pending >= 0),
    -- The lane has room and the queue is not paused. May be true too long (a claim that finds no room closes it),
    -- never false too long (whoever makes room holds all lines of the lane).
    open boolean not null default true,
    eligible boolean not null default false check (eligible = (open and pending > 0)),
    -- When the line last got a turn, as a number that only grows.
    served bigint not null default 0,
    unique (lane_id, task_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

create index lines_turn on oncue.lines (env_id, task_id, served) where eligible;

create sequence oncue.turns;

create table oncue.workers (
    id uuid primary key,
    env_id int not null,
    hostname text not null,
    pid int not null,
    sdk_version text not null,
    places int not null,
    -- Ids of the tasks it can run; a claim hands out nothing else.
    tasks int[] not null,
    -- Names of the queues it serves; null: all.
    queues text[],
    announced_at timestamptz not null default oncue.now(),
    lease_until timestamptz not null
) with (fillfactor = 50);

create table oncue.live (
    env_id int not null,
    run_id uuid not null,
    status oncue.run_status not null check (status < 'COMPLETED_SUCCESSFULLY'),
    -- Null while no worker has announced the task.
    line_id bigint,
    -- The lane whose slot this run holds; null where it holds none: not executing, or the lane has no limit.
    slot_lane bigint,
    ord bigint not null,
    epoch int not null default 0,
    attempt smallint not null default 1,
    recoveries smallint not null default 0,
    worker_id uuid,
    due_at timestamptz,
    started_at timestamptz,
    waits_left int not null default 0,
    -- It has rows in waits.
    has_waited boolean not null default false,
    -- Somebody waits for this run, so its end has to look for them.
    awaited boolean not null default false,
    batch_id uuid,
    parent_id uuid,
    primary key (env_id, run_id),
    check (case status
        when 'DELAYED' then due_at is not null and worker_id is null
        when 'RETRYING_AFTER_FAILURE' then due_at is not null and worker_id is null
        when 'PENDING_VERSION' then line_id is null and worker_id is null
        when 'PENDING' then line_id is not null and worker_id is null and due_at is null
        when 'EXECUTING' then worker_id is not null and line_id is not null and waits_left = 0
        when 'WAITING_TO_RESUME' then worker_id is not null and line_id is not null
    end),
    check (slot_lane is null or status = 'EXECUTING')
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

create index live_line on oncue.live (line_id, ord, run_id) where status = 'PENDING';
create index live_due on oncue.live (due_at) where status in ('DELAYED', 'RETRYING_AFTER_FAILURE');
create index live_unplaced on oncue.live (env_id, run_id) where status = 'PENDING_VERSION';
create index live_held on oncue.live (worker_id) where worker_id is not null;
create index live_resuming on oncue.live (line_id, ord) where status = 'WAITING_TO_RESUME' and waits_left = 0;
create index live_children on oncue.live (env_id, parent_id) where parent_id is not null;

-- What a parked run waits for: a run or a batch, named by its id.
create table oncue.waits (
    env_id int not null,
    run_id uuid not null,
    target_id uuid not null,
    epoch int not null,
    is_batch boolean not null,
    -- Names the call within the attempt, so that a run started again can find what it had asked for.
    call_key text,
    created_at timestamptz not null default oncue.now(),
    settled_at timestamptz,
    -- Its worker has been told, or is being told.
    noticed boolean not null default false,
    primary key (env_id, run_id, target_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

create index waits_target on oncue.waits (env_id, target_id) where settled_at is null;

-- What a worker has yet to acknowledge.
create table oncue.notices (
    id bigint generated always as identity primary key,
    env_id int not null,
    worker_id uuid not null,
    run_id uuid not null,
    epoch int not null,
    kind text not null check (kind in ('run', 'batch', 'stop')),
    -- What was waited for, for 'run' and 'batch'.
    target_id uuid,
    resumes boolean not null default false,
    reason text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

create index notices_worker on oncue.notices (worker_id, id);

-- Requests that were answered, so that one sent again gets the same answer.
create table oncue.request_keys (
    env_id int not null,
    key text not null,
    target_id uuid not null,
    created_at timestamptz not null default oncue.now(),
    primary key (env_id, key)
);

create index request_keys_age on oncue.request_keys (created_at);

-- A run with its status of now, and the part of its live row that clients see.
create view oncue.runs_now as
select
    run.env_id,
    run.id,
    coalesce(run.status, live.status)::text as status,
    run.task,
    run.queue,
    run.tags,
    run.metadata,
    run.priority,
    run.is_test,
    run.parent_id,
    run.root_id,
    run.depth,
    run.batch_id,
    run.awaited,
    run.created_at,
    coalesce(run.finished_at, live.started_at, run.created_at) as updated_at,
    coalesce(run.started_at, live.started_at) as started_at,
    run.finished_at,
    run.delay_until,
    coalesce(run.compute_ms, 0) as compute_ms,
    coalesce(run.attempts, case when live.started_at is null then 0 else live.attempt end)::int as attempt_count
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null;
