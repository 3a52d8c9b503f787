-- What the trigger options need: expiry, idempotency, debounce, versions, machines, regions, overridden queues.

alter table oncue.runs
    -- What the caller asked for; each is kept and shown, and a replay copies machine and region.
    add column version text,
    add column machine text,
    add column region text,
    -- Effective: option, task and environment taken together; null: it never expires.
    add column ttl interval,
    -- The hash that was sent, and what a person called it: {"key", "scope"} as JSON.
    add column idempotency_key text,
    add column idempotency_options text,
    -- The metadata it was triggered with, once that has been changed.
    add column seed_metadata text,
    add column replayed_from uuid;

-- When a run that has never started expires; set as it first lines up, cleared as it starts.
alter table oncue.live
    add column expires_at timestamptz,
    -- Items of batches stand for this run, so its end has to look for them.
    add column is_linked boolean not null default false;

create index live_expiring on oncue.live (expires_at) where status = 'PENDING' and expires_at is not null;

-- The run that an idempotency key stands for.
create table oncue.idempotency_keys (
    env_id int not null,
    task text not null,
    key text not null,
    run_id uuid not null,
    expires_at timestamptz not null,
    primary key (env_id, task, key)
);

create index idempotency_keys_age on oncue.idempotency_keys (expires_at);

-- The run that a debounce key pushes, as long as it is held.
create table oncue.debounces (
    env_id int not null,
    task text not null,
    key text not null,
    run_id uuid not null,
    -- No push goes beyond; null: there is no such moment.
    latest_at timestamptz,
    primary key (env_id, task, key)
);

create index debounces_run on oncue.debounces (env_id, run_id);

-- Items of batches that stand for a run that was there before, or for that of another item.
create table oncue.batch_links (
    env_id int not null,
    batch_id uuid not null,
    -- The id that the item's own run would have; it says which item it is.
    item_id uuid not null,
    run_id uuid not null,
    -- Its end has been counted into the batch.
    ended boolean not null,
    primary key (env_id, batch_id, item_id)
);

create index batch_links_open on oncue.batch_links (env_id, run_id) where not ended;

alter table oncue.batches
    add column idempotency_key text;

create unique index batches_idempotency on oncue.batches (env_id, idempotency_key) where idempotency_key is not null;

-- When and by whom a limit was overridden.
alter table oncue.queues
    add column overridden_at timestamptz,
    add column overridden_by text;

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
    run.version,
    run.machine,
    run.region,
    run.ttl,
    run.idempotency_key,
    run.idempotency_options,
    run.concurrency_key,
    run.replayed_from
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null;
