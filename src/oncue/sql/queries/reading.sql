-- name: retrieve :many RunRow
-- One run as it stands.
select
    run.id, run.status, run.task, run.queue, run.tags, run.metadata, run.priority, run.is_test, run.parent_id, run.root_id,
    run.depth, run.batch_id, run.awaited, run.created_at, run.updated_at, run.started_at, run.finished_at, run.delay_until, run.compute_ms, run.attempt_count,
    run.version, run.machine, run.region, run.ttl, run.idempotency_key, run.idempotency_options, run.concurrency_key,
    run.replayed_from
from oncue.runs_now as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: contents :one Contents
-- The documents of a run.
select run.payload, run.payload_type, run.output, run.output_type, run.error
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: relatives :many RunRow
-- A run's root and parent, and its first hundred children, oldest first. A child has a later id than its parent's.
select
    run.id, run.status, run.task, run.queue, run.tags, run.metadata, run.priority, run.is_test, run.parent_id, run.root_id,
    run.depth, run.batch_id, run.awaited, run.created_at, run.updated_at, run.started_at, run.finished_at, run.delay_until, run.compute_ms, run.attempt_count,
    run.version, run.machine, run.region, run.ttl, run.idempotency_key, run.idempotency_options, run.concurrency_key,
    run.replayed_from
from oncue.runs_now as run
where run.env_id = :env_id::int
  and run.id in (
      select :root_id::uuid
      union
      select :parent_id::uuid
      union (
          select child.id
          from oncue.runs as child
          where child.env_id = :env_id::int
            and child.parent_id = :run_id::uuid
          order by child.id
          limit 100
      )
  )
order by run.id;

-- name: span_of_action :one Span
-- Between which ids the runs are that a bulk action has cancelled or made; nothing is between those of one without any.
select
    coalesce((
        select done.result_id
        from oncue.bulk_runs as done
        where done.env_id = :env_id::int
          and done.action_id = :bulk_action::uuid
          and done.result_id is not null
        order by done.result_id
        limit 1
    ), 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid) as lowest,
    coalesce((
        select done.result_id
        from oncue.bulk_runs as done
        where done.env_id = :env_id::int
          and done.action_id = :bulk_action::uuid
          and done.result_id is not null
        order by done.result_id desc
        limit 1
    ), '00000000-0000-0000-0000-000000000000'::uuid) as highest;

-- name: list_runs :many RunRow
-- A page of runs, newest first, from below a cursor if there is one.
select
    run.id, run.status, run.task, run.queue, run.tags, run.metadata, run.priority, run.is_test, run.parent_id, run.root_id,
    run.depth, run.batch_id, run.awaited, run.created_at, run.updated_at, run.started_at, run.finished_at, run.delay_until, run.compute_ms, run.attempt_count,
    run.version, run.machine, run.region, run.ttl, run.idempotency_key, run.idempotency_options, run.concurrency_key,
    run.replayed_from
from oncue.runs_now as run
where run.env_id = :env_id::int
  and (:statuses::text[] is null or run.status = any(:statuses::text[]))
  and (:tasks::text[] is null or run.task = any(:tasks::text[]))
  and (:tags::text[] is null or run.tags && :tags::text[])
  and (:queues::text[] is null or run.queue = any(:queues::text[]))
  and (:versions::text[] is null or run.version = any(:versions::text[]))
  and (:machines::text[] is null or run.machine = any(:machines::text[]))
  and (:regions::text[] is null or run.region = any(:regions::text[]))
  and run.id between :lowest::uuid and :highest::uuid
  and (:bulk_action::uuid is null or exists (
      select
      from oncue.bulk_runs as done
      where done.env_id = run.env_id
        and done.action_id = :bulk_action::uuid
        and done.result_id = run.id
  ))
  and (:is_test::boolean is null or run.is_test = :is_test::boolean)
  and (:created_from::timestamptz is null or run.created_at >= :created_from::timestamptz)
  and (:created_to::timestamptz is null or run.created_at <= :created_to::timestamptz)
  and (:period::interval is null or run.created_at >= oncue.now() - :period::interval)
  and (:after::uuid is null or run.id < :after::uuid)
order by run.id desc
limit :size::int;

-- name: list_runs_above :many RunRow
-- The page of runs above a cursor, oldest first.
select
    run.id, run.status, run.task, run.queue, run.tags, run.metadata, run.priority, run.is_test, run.parent_id, run.root_id,
    run.depth, run.batch_id, run.awaited, run.created_at, run.updated_at, run.started_at, run.finished_at, run.delay_until, run.compute_ms, run.attempt_count,
    run.version, run.machine, run.region, run.ttl, run.idempotency_key, run.idempotency_options, run.concurrency_key,
    run.replayed_from
from oncue.runs_now as run
where run.env_id = :env_id::int
  and (:statuses::text[] is null or run.status = any(:statuses::text[]))
  and (:tasks::text[] is null or run.task = any(:tasks::text[]))
  and (:tags::text[] is null or run.tags && :tags::text[])
  and (:queues::text[] is null or run.queue = any(:queues::text[]))
  and (:versions::text[] is null or run.version = any(:versions::text[]))
  and (:machines::text[] is null or run.machine = any(:machines::text[]))
  and (:regions::text[] is null or run.region = any(:regions::text[]))
  and run.id between :lowest::uuid and :highest::uuid
  and (:bulk_action::uuid is null or exists (
      select
      from oncue.bulk_runs as done
      where done.env_id = run.env_id
        and done.action_id = :bulk_action::uuid
        and done.result_id = run.id
  ))
  and (:is_test::boolean is null or run.is_test = :is_test::boolean)
  and (:created_from::timestamptz is null or run.created_at >= :created_from::timestamptz)
  and (:created_to::timestamptz is null or run.created_at <= :created_to::timestamptz)
  and (:period::interval is null or run.created_at >= oncue.now() - :period::interval)
  and run.id > :before::uuid
order by run.id
limit :size::int;
