-- name: read_rows :many ShapeRow
-- Runs as subscribers see them; those that are not there are left out. Bounds let PostgreSQL leave out partitions. Of
-- metadata that is left out there is a digest; a document in the object store is its path, and is never left out.
select
    run.id, coalesce(run.status, live.status)::text as status, run.task, run.tags, run.batch_id, run.is_test,
    run.created_at, coalesce(run.finished_at, live.started_at, run.created_at) as updated_at,
    coalesce(run.started_at, live.started_at) as started_at, run.finished_at, run.delay_until, run.ttl,
    coalesce(run.compute_ms, 0) as compute_ms, run.error, run.idempotency_key,
    case when :metadata::boolean then run.metadata end as metadata,
    case when not :metadata::boolean then md5(run.metadata) end as metadata_digest,
    case when :documents::boolean or run.payload_type = 'application/store' then run.payload end as payload,
    run.payload_type, octet_length(run.payload) as payload_bytes,
    case when :documents::boolean or run.output_type = 'application/store' then run.output end as output,
    run.output_type, octet_length(run.output) as output_bytes,
    streams.keys as streams, concat_ws('.', run.xmin, live.xmin, cardinality(streams.keys)) as version
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null
cross join lateral (
    select coalesce(array_agg(stream.key order by stream.created_at, stream.key), '{}') as keys
    from oncue.run_streams as stream
    where stream.env_id = run.env_id and stream.run_id = run.id
) as streams
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[])
  and run.id between :first_id::uuid and :last_id::uuid;

-- name: outline :many Outline
-- How large runs are, who may want them and in which version they are; those that are not there are left out.
select
    run.id, run.tags, run.created_at,
    coalesce(octet_length(run.payload), 0) + coalesce(octet_length(run.output), 0) as document_bytes,
    coalesce(octet_length(run.metadata), 0) as metadata_bytes,
    concat_ws(
        '.', run.xmin, live.xmin,
        (select count(*) from oncue.run_streams as stream where stream.env_id = run.env_id and stream.run_id = run.id)
    ) as version
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[])
  and run.id between :first_id::uuid and :last_id::uuid;

-- name: outline_tagged :many Outline
-- The newest :limit runs with all of some tags that came since a moment. An id may be older than its run, but not by a
-- day: those of a batch's items begin with the batch.
select
    run.id, run.tags, run.created_at,
    coalesce(octet_length(run.payload), 0) + coalesce(octet_length(run.output), 0) as document_bytes,
    coalesce(octet_length(run.metadata), 0) as metadata_bytes,
    concat_ws(
        '.', run.xmin, live.xmin,
        (select count(*) from oncue.run_streams as stream where stream.env_id = run.env_id and stream.run_id = run.id)
    ) as version
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null
where run.env_id = :env_id::int
  and run.id >= oncue.id_at(:since::timestamptz - interval '1 day')
  and run.created_at >= :since::timestamptz
  and run.tags @> :tags::text[]
order by run.id desc
limit :limit::int;

-- name: outline_recent :many Outline
-- The newest :limit runs with any of some tags, or :every run, whose ids are not older than :within.
select
    run.id, run.tags, run.created_at,
    coalesce(octet_length(run.payload), 0) + coalesce(octet_length(run.output), 0) as document_bytes,
    coalesce(octet_length(run.metadata), 0) as metadata_bytes,
    concat_ws(
        '.', run.xmin, live.xmin,
        (select count(*) from oncue.run_streams as stream where stream.env_id = run.env_id and stream.run_id = run.id)
    ) as version
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null
where run.env_id = :env_id::int
  and run.id >= oncue.id_at(oncue.now() - :within::interval)
  and (:every::boolean or run.tags && :tags::text[])
order by run.id desc
limit :limit::int;

-- name: outline_batch :many Outline
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
    run.id, run.tags, run.created_at,
    coalesce(octet_length(run.payload), 0) + coalesce(octet_length(run.output), 0) as document_bytes,
    coalesce(octet_length(run.metadata), 0) as metadata_bytes,
    concat_ws(
        '.', run.xmin, live.xmin,
        (select count(*) from oncue.run_streams as stream where stream.env_id = run.env_id and stream.run_id = run.id)
    ) as version
from first
join oncue.runs as run on run.env_id = :env_id::int and run.id = first.id
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id and run.status is null
order by first.place, run.id;

-- name: fillings :many Filling
-- How many items of batches are there.
select batch.id, batch.filled
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.id = any(:batch_ids::uuid[]);

-- name: is_batch :maybe BatchId
-- Whether there is such a batch.
select batch.id
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.id = :batch_id::uuid;
