-- name: present :many RunId
-- Those of some runs that were made before.
select run.id as run_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[]);
