-- name: create :maybe RunId
-- Make a batch unless it is there.
insert into oncue.batches (
    env_id, id, run_count, parent_id, waits, idempotency_key, call_key, parent_attempt, open
)
values (
    :env_id::int, :id::uuid, :run_count::int, :parent_id::uuid, :waits::boolean, :idempotency_key::text,
    :call_key::text, :parent_attempt::smallint, :open::boolean
)
on conflict (env_id, id) do nothing
returning id as run_id;

-- name: lock_key :none
-- Let one creation at a time use an idempotency key, whether or not a batch has it.
select
where pg_advisory_xact_lock(hashtextextended('oncue.batch ' || :env_id::int || ' ' || :key::text, 0)) is not null;

-- name: free_key :none
-- Take an idempotency key from a batch that is too old for it, or was given up.
update oncue.batches as batch
set idempotency_key = null
where batch.env_id = :env_id::int
  and batch.idempotency_key = :key::text
  and (batch.aborted is not null or batch.created_at < oncue.now() - :within::interval);

-- name: find_by_key :maybe RunId
-- The batch that has an idempotency key.
select batch.id as run_id
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.idempotency_key = :key::text;

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
