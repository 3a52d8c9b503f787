-- name: lock_parents :many ParentRun
-- Lock runs in progress that trigger from inside, and say where they stand in their family.
select live.run_id, live.epoch, live.worker_id, live.status in ('EXECUTING', 'WAITING_TO_RESUME') as is_held,
    run.root_id, run.depth, coalesce(live.version, run.version) as version,
    exists (
        select
        from oncue.versions as made
        where made.env_id = run.env_id and made.name = coalesce(live.version, run.version)
    ) as is_version_made, live.attempt, live.epoch > live.attempt as is_restarted
from oncue.live as live
join oncue.runs as run on run.env_id = live.env_id and run.id = live.run_id
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
order by live.run_id
for no key update of live;

-- name: cancelled_runs :many RunId
-- Which of these runs have been cancelled.
select run.id as run_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[])
  and run.status = 'CANCELED';

-- name: insert_runs :many Created
-- Insert runs that are not there yet, each with its live row; returns the new ones.
-- Moves: (new) -> DELAYED, PENDING_VERSION, PENDING.
with asked as (
    select
        asked.*,
        case
            when least(asked.delay_until, oncue.now() + asked.delay) > oncue.now()
            then least(asked.delay_until, oncue.now() + asked.delay)
        end as due_at
    from unnest(
        :ids::uuid[], :tasks::text[], :queues::text[], :keys::text[], :lines::bigint[], :payloads::text[],
        :payload_types::text[], :metadata::text[], :tags::text[], :priorities::int[], :max_attempts::int[],
        :max_durations::interval[], :delays::interval[], :delay_untils::timestamptz[], :tests::boolean[],
        :parents::uuid[], :roots::uuid[], :depths::int[], :batches::uuid[], :awaited::boolean[], :batch_waits::boolean[],
        :versions::text[], :machines::text[], :regions::text[], :ttls::interval[], :idempotency_keys::text[],
        :idempotency_options::text[], :replayed_from::uuid[], :call_keys::text[], :parent_attempts::smallint[],
        :open_queues::boolean[]
    ) as asked(
        id, task, queue, key, line_id, payload, payload_type, metadata, tags, priority, max_attempts, max_duration,
        delay, delay_until, is_test, parent_id, root_id, depth, batch_id, awaited, batch_waits, version, machine, region,
        ttl, idempotency_key, idempotency_options, replayed_from, call_key, parent_attempt, is_queue_open
    )
),
created as (
    insert into oncue.runs (
        env_id, id, task, queue, concurrency_key, payload, payload_type, metadata, tags, priority, max_attempts,
        max_duration, delay_until, is_test, parent_id, root_id, depth, batch_id, awaited, version, machine, region, ttl,
        idempotency_key, idempotency_options, replayed_from, call_key, parent_attempt, is_queue_open, created_at
    )
    select
        :env_id::int, asked.id, asked.task, asked.queue, asked.key, asked.payload, asked.payload_type, asked.metadata,
        asked.tags::text[], asked.priority, asked.max_attempts, asked.max_duration, asked.due_at, asked.is_test,
        asked.parent_id, asked.root_id, asked.depth, asked.batch_id, asked.awaited or asked.batch_waits, asked.version,
        asked.machine, asked.region, asked.ttl, asked.idempotency_key, asked.idempotency_options,
        asked.replayed_from, asked.call_key, asked.parent_attempt, asked.is_queue_open, oncue.now()
    from asked
    on conflict (env_id, id) do nothing
    returning id
)
insert into oncue.live as live (
    env_id, run_id, status, line_id, ord, due_at, expires_at, awaited, batch_id, parent_id
)
select
    :env_id::int,
    asked.id,
    case
        when asked.due_at is not null then 'DELAYED'
        when asked.line_id is null then 'PENDING_VERSION'
        else 'PENDING'
    end::oncue.run_status,
    asked.line_id,
    oncue.ord(coalesce(asked.due_at, oncue.now())) - asked.priority * 1000::bigint,
    asked.due_at,
    case when asked.due_at is null and asked.line_id is not null then oncue.now() + asked.ttl end,
    asked.awaited,
    asked.batch_id,
    asked.parent_id
from asked
join created on created.id = asked.id
returning live.run_id, live.status::text as status, live.line_id;
