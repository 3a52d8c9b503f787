-- name: recorded_runs :many RecordedRun
-- The runs that durable calls of an attempt made before.
select run.parent_id, run.call_key, run.id as run_id, run.payload, run.payload_type
from unnest(:parents::uuid[], :attempts::smallint[], :call_keys::text[]) as asked(parent_id, attempt, call_key)
join oncue.runs as run
    on run.env_id = :env_id::int
    and run.parent_id = asked.parent_id
    and run.parent_attempt = asked.attempt
    and run.call_key = asked.call_key;

-- name: recorded_batch :maybe RecordedBatch
-- The batch that a durable call of an attempt made before, unless it was given up.
select batch.id, batch.run_count, batch.sealed_at is not null as is_sealed
from oncue.batches as batch
where batch.env_id = :env_id::int
  and batch.parent_id = :parent_id::uuid
  and batch.parent_attempt = :attempt::smallint
  and batch.call_key = :call_key::text
  and batch.aborted is null;
