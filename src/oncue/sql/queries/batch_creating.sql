-- name: create :maybe RunId
-- Make a batch unless it is there.
insert into oncue.batches (
    env_id, id, run_count, parent_id, waits, idempotency_key, call_key, parent_attempt, open,
    tasks_hash
)
values (
    :env_id::int, :id::uuid, :run_count::int, :parent_id::uuid, :waits::boolean, :idempotency_key::text,
    :call_key::text, :parent_attempt::smallint, :open::boolean, :tasks_hash::bytea
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
