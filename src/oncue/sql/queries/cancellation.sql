-- name: exists :many RunId
-- Which of these runs there are.
select run.id as run_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[]);

-- name: lock_runs :many RunId
-- Lock runs in progress, in their order.
select live.run_id
from oncue.live as live
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
order by live.run_id
for update;

-- name: lock_children :many RunId
-- Lock runs in progress that some runs triggered, in their order.
select live.run_id
from oncue.live as live
where live.env_id = :env_id::int
  and live.parent_id = any(:parents::uuid[])
order by live.run_id
for update;
