-- name: abort :many RunId
-- Give up batches that are not sealed.
update oncue.batches as batch
set aborted = :reason::text,
    finished_at = oncue.now()
where batch.env_id = :env_id::int
  and batch.id = any(:ids::uuid[])
  and batch.sealed_at is null
  and batch.aborted is null
returning batch.id as run_id;

-- name: overdue :many RunId
-- Batches that were not filled in time, oldest first, locked. An open one has as long after each of its items.
select batch.id as run_id
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.sealed_at is null
  and batch.finished_at is null
  and coalesce(batch.filled_at, batch.created_at) < oncue.now() - :within::interval
order by batch.created_at
limit 100
for update skip locked;
