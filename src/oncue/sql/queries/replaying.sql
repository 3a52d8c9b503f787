-- name: originals :many Original
-- What runs were asked to do; metadata as they were triggered with, before anybody changed it.
select
    run.id, run.task, run.payload, run.payload_type, coalesce(run.seed_metadata, run.metadata) as metadata, run.tags,
    run.is_test, case when not run.is_queue_open then run.queue end as queue, run.concurrency_key, run.machine, run.region
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[]);
