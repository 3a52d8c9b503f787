-- name: create :maybe RunId
-- Make a batch unless it is there.
insert into oncue.batches (env_id, id, run_count, parent_id, waits)
values (:env_id::int, :id::uuid, :run_count::int, :parent_id::uuid, :waits::boolean)
on conflict (env_id, id) do nothing
returning id as run_id;

-- name: load :maybe BatchRow
-- A batch as it stands.
select batch.id, batch.run_count, batch.filled, batch.ended, batch.sealed_at, batch.finished_at, batch.aborted,
    batch.parent_id, batch.waits, batch.created_at
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.id = :id::uuid;

-- name: lock :maybe BatchRow
-- A batch as it stands, locked against others that fill it and runs of it that end.
select batch.id, batch.run_count, batch.filled, batch.ended, batch.sealed_at, batch.finished_at, batch.aborted,
    batch.parent_id, batch.waits, batch.created_at
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.id = :id::uuid
for update;

-- name: insert_refused :many RunId
-- Items that could not be made into runs are runs that failed before they began.
-- Moves: (new) -> SYSTEM_FAILURE.
insert into oncue.runs as run (
    env_id, id, task, queue, batch_id, created_at, status, epoch, attempts, finished_at, compute_ms, error
)
select
    :env_id::int, refused.id, refused.task, 'task/' || refused.task, :batch_id::uuid, oncue.now(),
    'SYSTEM_FAILURE', 0, 0, oncue.now(), 0, refused.error
from unnest(:ids::uuid[], :tasks::text[], :errors::text[]) as refused(id, task, error)
on conflict (env_id, id) do nothing
returning run.id as run_id;

-- name: add :none
-- Count items into a batch that is locked.
update oncue.batches as batch
set filled = batch.filled + :filled::int,
    ended = batch.ended + :ended::int
where batch.env_id = :env_id::int
  and batch.id = :id::uuid;

-- name: seal :maybe RunId
-- Close a full batch that is locked; returns it if all its runs have ended already.
with sealed as (
    update oncue.batches as batch
    set sealed_at = oncue.now(),
        finished_at = case when batch.ended = batch.run_count then oncue.now() end
    where batch.env_id = :env_id::int
      and batch.id = :id::uuid
      and batch.sealed_at is null
      and batch.filled = batch.run_count
    returning batch.id, batch.finished_at
)
select sealed.id as run_id
from sealed
where sealed.finished_at is not null;

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
-- Batches that were not filled in time, oldest first, locked.
select batch.id as run_id
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.sealed_at is null
  and batch.finished_at is null
  and batch.created_at < oncue.now() - :within::interval
order by batch.created_at
limit 100
for update skip locked;

-- name: results :many FinishedRun
-- How runs of a batch ended, in item order.
select run.id, run.task, run.status::text as status, run.output, run.output_type, run.error
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id between :first_id::uuid and :last_id::uuid
order by run.id;
