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
    ended = batch.ended + :ended::int,
    filled_at = case when batch.open then oncue.now() end
where batch.env_id = :env_id::int
  and batch.id = :id::uuid;

-- name: close :none
-- Say how many items an open batch has that is locked, and has them.
update oncue.batches as batch
set run_count = batch.filled,
    open = false
where batch.env_id = :env_id::int
  and batch.id = :id::uuid
  and batch.filled > 0;

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
