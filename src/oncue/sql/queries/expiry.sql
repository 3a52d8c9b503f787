-- name: lock_overdue :many Overdue
-- Lock at most :limit runs in line that were not started in time, longest overdue first. No other run expires, and to
-- name the status would have the planner choose between this index and that of all lines.
select live.env_id, live.run_id, run.ttl
from oncue.live as live
join oncue.runs as run on run.env_id = live.env_id and run.id = live.run_id
where live.expires_at <= oncue.now()
order by live.expires_at
limit :limit::int
for update of live skip locked;
