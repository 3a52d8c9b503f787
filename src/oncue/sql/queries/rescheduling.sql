-- name: lock_delayed :many Held
-- Lock a run that is held for its delay, and say when it would be due; empty if it is not held.
select coalesce(:delay_until::timestamptz, oncue.now() + :delay::interval) > oncue.now() as is_ahead
from oncue.live as live
where live.env_id = :env_id::int
  and live.run_id = :run_id::uuid
  and live.status = 'DELAYED'
for no key update;

-- name: reschedule :none
-- Hold a delayed run until another moment; its place in line follows, as if it had been triggered so.
-- Moves: DELAYED -> DELAYED.
with told as (
    update oncue.runs as run
    set delay_until = coalesce(:delay_until::timestamptz, oncue.now() + :delay::interval)
    where run.env_id = :env_id::int
      and run.id = :run_id::uuid
    returning run.env_id, run.id, run.delay_until, run.priority
)
update oncue.live as live
set due_at = told.delay_until,
    ord = oncue.ord(told.delay_until) - told.priority * 1000::bigint
from told
where live.env_id = told.env_id
  and live.run_id = told.id
  and live.status = 'DELAYED';
