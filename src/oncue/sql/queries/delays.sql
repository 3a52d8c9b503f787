-- name: release_due :many Due
-- Put at most :limit held runs whose time has come in line, longest overdue first.
-- Moves: DELAYED -> PENDING, PENDING_VERSION.
-- Moves: RETRYING_AFTER_FAILURE -> PENDING.
with due as (
    select live.env_id, live.run_id, live.status = 'DELAYED' as is_new
    from oncue.live as live
    where live.status in ('DELAYED', 'RETRYING_AFTER_FAILURE')
      and live.due_at <= oncue.now()
    order by live.due_at
    limit :limit::int
    for update skip locked
)
update oncue.live as live
set status = (case when live.line_id is null then 'PENDING_VERSION' else 'PENDING' end)::oncue.run_status,
    due_at = null,
    expires_at = case when due.is_new and live.line_id is not null then oncue.now() + run.ttl end
from due
join oncue.runs as run on run.env_id = due.env_id and run.id = due.run_id
where live.env_id = due.env_id
  and live.run_id = due.run_id
  and live.status in ('DELAYED', 'RETRYING_AFTER_FAILURE')
returning live.env_id, live.run_id, live.line_id;

-- name: next_due :one NextDue
-- How long until the next held run is due; null if none is held.
select min(live.due_at) - oncue.now() as wait
from oncue.live as live
where live.status in ('DELAYED', 'RETRYING_AFTER_FAILURE');
