-- name: results :many FinishedRun
-- How runs of a batch ended, in item order.
select run.id, run.task, run.status::text as status, run.output, run.output_type, run.error
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id between :first_id::uuid and :last_id::uuid
order by run.id;
