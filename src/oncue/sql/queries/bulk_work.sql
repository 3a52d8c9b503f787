-- name: pending :many Pending
-- Actions with work left, oldest first, of every environment as many as of any other.
select action.env_id, action.id
from (
    select waiting.env_id, waiting.id, waiting.created_at,
        row_number() over (partition by waiting.env_id order by waiting.created_at, waiting.id) as place
    from oncue.bulk_actions as waiting
    where waiting.status = 'PENDING'
) as action
order by action.place, action.created_at, action.id
limit :limit::int;

-- name: take :maybe Action
-- Lock an action with work left, unless another server is at it.
select action.id, action.type, action.region, action.created_at, action.done_to
from oncue.bulk_actions as action
where action.env_id = :env_id::int
  and action.id = :id::uuid
  and action.status = 'PENDING'
for update skip locked;

-- name: next_runs :many RunId
-- The next of the runs that were chosen, in the order of their ids, from beyond :after.
select chosen.run_id
from oncue.bulk_runs as chosen
where chosen.env_id = :env_id::int
  and chosen.action_id = :action_id::uuid
  and chosen.run_id > :after::uuid
order by chosen.run_id
limit :limit::int;

-- name: cancelled :many RunId
-- Which of these runs have been cancelled since a moment.
select run.id as run_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[])
  and run.status = 'CANCELED'
  and run.finished_at >= :since::timestamptz;

-- name: note :none
-- Note what came of runs.
update oncue.bulk_runs as chosen
set result_id = done.result_id
from unnest(:run_ids::uuid[], :result_ids::uuid[]) as done(run_id, result_id)
where chosen.env_id = :env_id::int
  and chosen.action_id = :action_id::uuid
  and chosen.run_id = done.run_id;

-- name: advance :none
-- Count a group of runs; the last group ends the action.
update oncue.bulk_actions as action
set done_to = :done_to::uuid,
    succeeded = action.succeeded + :succeeded::int,
    failed = action.failed + :failed::int,
    status = case when :is_last::boolean then 'COMPLETED' else 'PENDING' end,
    finished_at = case when :is_last::boolean then oncue.now() end
where action.env_id = :env_id::int
  and action.id = :id::uuid;
