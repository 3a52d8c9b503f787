-- name: load :maybe BatchRow
-- A batch as it stands.
select batch.id, batch.run_count, batch.filled, batch.ended, batch.sealed_at, batch.finished_at, batch.aborted,
    batch.parent_id, batch.waits, batch.created_at, batch.open, batch.idempotency_key, batch.tasks_hash
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.id = :id::uuid;

-- name: lock :maybe BatchRow
-- A batch as it stands, locked against others that fill it and runs of it that end.
select batch.id, batch.run_count, batch.filled, batch.ended, batch.sealed_at, batch.finished_at, batch.aborted,
    batch.parent_id, batch.waits, batch.created_at, batch.open, batch.idempotency_key, batch.tasks_hash
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.id = :id::uuid
for update;
