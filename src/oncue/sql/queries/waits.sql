-- name: park :many Parked
-- Let runs that are locked wait for so many things more; their slots are free with this transaction.
-- Moves: EXECUTING, WAITING_TO_RESUME -> WAITING_TO_RESUME.
with parent as (
    select live.env_id, live.run_id, live.slot_lane,
        live.status = 'WAITING_TO_RESUME' and live.waits_left = 0 as was_resuming, added.waits
    from unnest(:run_ids::uuid[], :counts::int[]) as added(run_id, waits)
    join oncue.live as live on live.env_id = :env_id::int and live.run_id = added.run_id
    where live.status in ('EXECUTING', 'WAITING_TO_RESUME')
)
update oncue.live as live
set status = 'WAITING_TO_RESUME',
    waits_left = live.waits_left + parent.waits,
    has_waited = true,
    slot_lane = null
from parent
where live.env_id = parent.env_id
  and live.run_id = parent.run_id
returning live.run_id, parent.slot_lane, live.line_id, parent.was_resuming;

-- name: known_waits :many KnownWait
-- Which of these waits are registered already, and by which call.
select wait.run_id, wait.target_id, wait.call_key, wait.settled_at is not null as settled
from unnest(:run_ids::uuid[], :target_ids::uuid[]) as asked(run_id, target_id)
join oncue.waits as wait
    on wait.env_id = :env_id::int and wait.run_id = asked.run_id and wait.target_id = asked.target_id;

-- name: register :none
-- Record what parked runs wait for; a wait for something waited for before starts anew.
insert into oncue.waits (env_id, run_id, target_id, epoch, is_batch, is_waitpoint, call_key)
select
    :env_id::int, wait.run_id, wait.target_id, wait.epoch, :kind::text = 'batch', :kind::text = 'waitpoint',
    wait.call_key
from unnest(:run_ids::uuid[], :target_ids::uuid[], :epochs::int[], :call_keys::text[])
    as wait(run_id, target_id, epoch, call_key)
on conflict (env_id, run_id, target_id) do update
set settled_at = null,
    noticed = false,
    epoch = excluded.epoch,
    call_key = excluded.call_key;

-- name: await_targets :many RunId
-- Have runs in progress tell when they end that somebody waits for them; locks them, so that none ends meanwhile.
update oncue.live as live
set awaited = true
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
returning live.run_id;

-- name: lock_waiting :many WaitingRun
-- Lock the runs that wait for what has ended, in their order.
select live.run_id, live.worker_id
from oncue.live as live
where live.env_id = :env_id::int
  and live.run_id in (
      select wait.run_id
      from oncue.waits as wait
      where wait.env_id = :env_id::int
        and wait.target_id = any(:target_ids::uuid[])
        and wait.settled_at is null
  )
order by live.run_id
for no key update;

-- name: settle :many Settled
-- Mark waits as over and count them off their runs, which are locked.
with over as (
    update oncue.waits as wait
    set settled_at = oncue.now()
    where wait.env_id = :env_id::int
      and wait.target_id = any(:target_ids::uuid[])
      and wait.settled_at is null
    returning wait.run_id
),
counted as (
    select over.run_id, count(*)::int as waits
    from over
    group by over.run_id
)
update oncue.live as live
set waits_left = live.waits_left - counted.waits
from counted
where live.env_id = :env_id::int
  and live.run_id = counted.run_id
  and live.status = 'WAITING_TO_RESUME'
returning live.run_id, live.worker_id, live.waits_left;

-- name: wake :many WokenRun
-- Put runs back in line that wait without a worker.
-- Moves: WAITING_TO_RESUME -> PENDING.
update oncue.live as live
set status = 'PENDING',
    waits_left = 0,
    has_waited = false
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
  and live.status = 'WAITING_TO_RESUME'
  and live.worker_id is null
returning live.run_id, live.line_id;

-- name: resume_unlimited :many ResumedRun
-- Let runs with nothing left to wait for go on at once where their lane has no limit; returns lane and state of each.
-- Moves: WAITING_TO_RESUME -> EXECUTING.
with ready as (
    select live.env_id, live.run_id, live.worker_id, line.lane_id, lane.slots is null as unlimited
    from oncue.live as live
    join oncue.lines as line on line.id = live.line_id
    join oncue.lanes as lane on lane.id = line.lane_id
    where live.env_id = :env_id::int
      and live.run_id = any(:run_ids::uuid[])
      and live.status = 'WAITING_TO_RESUME'
      and live.waits_left = 0
),
going as (
    update oncue.live as live
    set status = 'EXECUTING'
    from ready
    where ready.unlimited
      and live.env_id = ready.env_id
      and live.run_id = ready.run_id
)
select ready.run_id, ready.worker_id, ready.lane_id, ready.unlimited
from ready;

-- name: lanes_of_lines :many LineLane
-- The lanes that lines belong to, where those have a limit.
select line.id as line_id, lane.id as lane_id
from oncue.lines as line
join oncue.lanes as lane on lane.id = line.lane_id
where line.id = any(:lines::bigint[])
  and lane.slots is not null;

-- name: forget_waits :none
-- Drop what runs had waited for that ended or start again.
delete from oncue.waits as wait
where wait.env_id = :env_id::int
  and wait.run_id = any(:run_ids::uuid[]);
