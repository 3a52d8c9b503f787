-- name: find_lanes :many Violation
-- Lanes whose count of running or resuming runs is not the number of such runs, and those with room for runs that
-- resume and have not been given it.
with held as (
    select live.slot_lane as lane_id, count(*)::int as runs
    from oncue.live as live
    where live.slot_lane is not null
    group by live.slot_lane
),
resuming as (
    select line.lane_id, count(*)::int as runs
    from oncue.live as live
    join oncue.lines as line on line.id = live.line_id
    where live.status = 'WAITING_TO_RESUME'
      and live.waits_left = 0
    group by line.lane_id
)
select
    lane.id,
    case
        when lane.running <> coalesce(held.runs, 0) then 'lane.running'
        when lane.resuming <> coalesce(resuming.runs, 0) then 'lane.resuming'
        else 'lane.granted'
    end as what,
    case when lane.running <> coalesce(held.runs, 0) then lane.running else lane.resuming end as counted,
    case when lane.running <> coalesce(held.runs, 0) then coalesce(held.runs, 0) else coalesce(resuming.runs, 0) end
        as found
from oncue.lanes as lane
join oncue.queues as queue on queue.id = lane.queue_id
left join held on held.lane_id = lane.id
left join resuming on resuming.lane_id = lane.id
where queue.env_id = :env_id::int
  and lane.slots is not null
  and (
      lane.running <> coalesce(held.runs, 0)
      or lane.resuming <> coalesce(resuming.runs, 0)
      or (lane.resuming > 0 and lane.running < lane.slots)
  );

-- name: find_lines :many Violation
-- Lines whose count of pending runs is not the number of such runs, or that are closed although there is room.
with pending as (
    select live.line_id, count(*)::int as runs
    from oncue.live as live
    where live.status = 'PENDING'
    group by live.line_id
)
select
    line.id,
    case when line.pending <> coalesce(pending.runs, 0) then 'line.pending' else 'line.open' end as what,
    line.pending as counted,
    coalesce(pending.runs, 0) as found
from oncue.lines as line
join oncue.lanes as lane on lane.id = line.lane_id
join oncue.queues as queue on queue.id = lane.queue_id
left join pending on pending.line_id = line.id
where line.env_id = :env_id::int
  and (
      line.pending <> coalesce(pending.runs, 0)
      or (not line.open and not queue.paused and (lane.slots is null or lane.running + lane.resuming < lane.slots))
  );

-- name: correct_lanes :none
-- Count afresh who runs in lanes that are locked.
update oncue.lanes as lane
set running = (
        select count(*)
        from oncue.live as live
        where live.slot_lane = lane.id
    ),
    resuming = (
        select count(*)
        from oncue.lines as line
        join oncue.live as live on live.line_id = line.id
        where line.lane_id = lane.id
          and live.status = 'WAITING_TO_RESUME'
          and live.waits_left = 0
    )
where lane.id = any(:ids::bigint[]);

-- name: correct_lines :none
-- Count afresh who stands in lines that are locked, and open them as their lane allows.
with counted as (
    select
        line.id,
        (select count(*) from oncue.live as live where live.line_id = line.id and live.status = 'PENDING')::int as runs,
        not queue.paused and (lane.slots is null or lane.running + lane.resuming < lane.slots) as open
    from oncue.lines as line
    join oncue.lanes as lane on lane.id = line.lane_id
    join oncue.queues as queue on queue.id = lane.queue_id
    where line.id = any(:ids::bigint[])
)
update oncue.lines as line
set pending = counted.runs,
    open = counted.open,
    eligible = counted.open and counted.runs > 0
from counted
where line.id = counted.id;

-- name: find_ended :many RunId
-- What somebody still waits for although it has ended, or never was.
select distinct wait.target_id as run_id
from oncue.waits as wait
where wait.env_id = :env_id::int
  and wait.settled_at is null
  and case
      when wait.is_batch then not exists (
          select
          from oncue.batches as batch
          where batch.env_id = wait.env_id and batch.id = wait.target_id and batch.finished_at is null
      )
      when wait.is_waitpoint then not exists (
          select
          from oncue.waitpoints as waitpoint
          where waitpoint.env_id = wait.env_id and waitpoint.id = wait.target_id and waitpoint.settled_at is null
      )
      else not exists (
          select
          from oncue.live as live
          where live.env_id = wait.env_id and live.run_id = wait.target_id
      )
  end;

-- name: find_waits :many WrongWaits
-- Waiting runs whose count of waits is not the number of their waits.
select live.run_id, live.waits_left as counted, count(wait.target_id)::int as found
from oncue.live as live
left join oncue.waits as wait
    on wait.env_id = live.env_id and wait.run_id = live.run_id and wait.settled_at is null
where live.env_id = :env_id::int
  and live.status = 'WAITING_TO_RESUME'
group by live.env_id, live.run_id
having live.waits_left <> count(wait.target_id);

-- name: correct_waits :many RunId
-- Count afresh what runs wait for; returns those with nothing left.
with counted as (
    update oncue.live as live
    set waits_left = (
        select count(*)
        from oncue.waits as wait
        where wait.env_id = live.env_id and wait.run_id = live.run_id and wait.settled_at is null
    )
    where live.env_id = :env_id::int
      and live.run_id = any(:run_ids::uuid[])
      and live.status = 'WAITING_TO_RESUME'
    returning live.run_id, live.waits_left
)
select counted.run_id
from counted
where counted.waits_left = 0;
