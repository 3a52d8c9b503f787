-- name: read_rows :many ShapeRow
-- Runs as subscribers see them; those that are not there are left out. Bounds let PostgreSQL leave out partitions.
select
    run.id, coalesce(run.status, live.status)::text as status, run.task, run.tags, run.batch_id, run.is_test,
    run.created_at, coalesce(run.finished_at, live.started_at, run.created_at) as updated_at,
    coalesce(run.started_at, live.started_at) as started_at, run.finished_at, run.delay_until, run.ttl,
    coalesce(run.compute_ms, 0) as compute_ms, run.metadata, run.error, run.idempotency_key,
    case when :documents::boolean then run.payload end as payload, run.payload_type,
    case when :documents::boolean then run.output end as output, run.output_type,
    array(
        select stream.key
        from oncue.run_streams as stream
        where stream.env_id = run.env_id and stream.run_id = run.id
        order by stream.created_at, stream.key
    ) as streams
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[])
  and run.id between :first_id::uuid and :last_id::uuid;

-- name: read_tagged :many ShapeRow
-- The newest :limit runs with all of some tags that came since a moment. An id may be older than its run, but not by a
-- day: those of a batch's items begin with the batch.
select
    run.id, coalesce(run.status, live.status)::text as status, run.task, run.tags, run.batch_id, run.is_test,
    run.created_at, coalesce(run.finished_at, live.started_at, run.created_at) as updated_at,
    coalesce(run.started_at, live.started_at) as started_at, run.finished_at, run.delay_until, run.ttl,
    coalesce(run.compute_ms, 0) as compute_ms, run.metadata, run.error, run.idempotency_key,
    case when :documents::boolean then run.payload end as payload, run.payload_type,
    case when :documents::boolean then run.output end as output, run.output_type,
    array(
        select stream.key
        from oncue.run_streams as stream
        where stream.env_id = run.env_id and stream.run_id = run.id
        order by stream.created_at, stream.key
    ) as streams
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null
where run.env_id = :env_id::int
  and run.id >= oncue.id_at(:since::timestamptz - interval '1 day')
  and run.created_at >= :since::timestamptz
  and run.tags @> :tags::text[]
order by run.id desc
limit :limit::int;

-- name: read_batch :many ShapeRow
-- The first :limit runs of a batch, in item order, and after them those that its items stand for.
with chosen as (
    select own.id, 0 as place
    from oncue.runs as own
    where own.env_id = :env_id::int
      and own.id between :first_id::uuid and :last_id::uuid
    union all
    select link.run_id, 1
    from oncue.batch_links as link
    where link.env_id = :env_id::int
      and link.batch_id = :batch_id::uuid
),
first as (
    select chosen.id, min(chosen.place) as place
    from chosen
    group by chosen.id
    order by min(chosen.place), chosen.id
    limit :limit::int
)
select
    run.id, coalesce(run.status, live.status)::text as status, run.task, run.tags, run.batch_id, run.is_test,
    run.created_at, coalesce(run.finished_at, live.started_at, run.created_at) as updated_at,
    coalesce(run.started_at, live.started_at) as started_at, run.finished_at, run.delay_until, run.ttl,
    coalesce(run.compute_ms, 0) as compute_ms, run.metadata, run.error, run.idempotency_key,
    case when :documents::boolean then run.payload end as payload, run.payload_type,
    case when :documents::boolean then run.output end as output, run.output_type,
    array(
        select stream.key
        from oncue.run_streams as stream
        where stream.env_id = run.env_id and stream.run_id = run.id
        order by stream.created_at, stream.key
    ) as streams
from first
join oncue.runs as run on run.env_id = :env_id::int and run.id = first.id
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null
order by first.place, run.id;

-- name: is_batch :maybe BatchId
-- Whether there is such a batch.
select batch.id
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.id = :batch_id::uuid;
