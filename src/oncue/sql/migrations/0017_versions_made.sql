-- A version that no operator names is made: the same code has the same one, other code the next of its day. A run is
-- locked as it is claimed, so the version of one that has not ended stands in its live row.

create table oncue.versions (
    env_id int not null references oncue.environments,
    name text not null,
    -- What tells the code from other code.
    fingerprint text not null,
    made_at timestamptz not null default oncue.now(),
    primary key (env_id, name),
    unique (env_id, fingerprint)
);

alter table oncue.live
    add column version text;

alter table oncue.workers
    -- Rows of tasks whose runs any version may start, and for each the row of this worker's version.
    add column unlocked int[] not null default '{}',
    add column locked int[] not null default '{}',
    -- Its version was made: it may be given what others leave behind whose version was made.
    add column is_version_made boolean not null default false;

create or replace view oncue.runs_now as
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
    coalesce(run.attempts, case when live.started_at is null then 0 else live.attempt end)::int as attempt_count,
    coalesce(run.version, live.version) as version,
    run.machine,
    run.region,
    run.ttl,
    run.idempotency_key,
    run.idempotency_options,
    run.concurrency_key,
    run.replayed_from
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null;
