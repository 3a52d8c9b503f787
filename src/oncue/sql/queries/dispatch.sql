-- name: line_up :many LineId
-- Add pending runs to lines that are locked.
update oncue.lines as line
set pending = line.pending + added.runs,
    eligible = line.open and line.pending + added.runs > 0
from unnest(:lines::bigint[], :counts::int[]) as added(id, runs)
where line.id = added.id
returning line.id;

-- name: lock_lines :none
-- Lock lines, and all lines of some lanes, in their order.
select line.id
from oncue.lines as line
where line.id = any(:lines::bigint[])
   or line.lane_id = any(:lanes::bigint[])
order by line.id
for update;

-- name: lock_lanes :many Lane
-- Lock lanes that have a limit, in their order.
select lane.id, lane.slots, lane.running, lane.resuming
from oncue.lanes as lane
where lane.id = any(:lanes::bigint[])
  and lane.slots is not null
order by lane.id
for update;

-- name: grant_slots :many Granted
-- Give free slots to runs whose wait is over, longest in line first. The lanes and their lines are locked.
-- Moves: WAITING_TO_RESUME -> EXECUTING.
with next as (
    select resuming.env_id, resuming.run_id, room.lane_id
    from unnest(:lanes::bigint[], :counts::int[]) as room(lane_id, slots)
    cross join lateral (
        select live.env_id, live.run_id
        from oncue.lines as line
        join oncue.live as live on live.line_id = line.id
        where line.lane_id = room.lane_id
          and live.status = 'WAITING_TO_RESUME'
          and live.waits_left = 0
        order by live.ord, live.run_id
        limit room.slots
        for update of live skip locked
    ) as resuming
)
update oncue.live as live
set status = 'EXECUTING',
    slot_lane = next.lane_id
from next
where live.env_id = next.env_id
  and live.run_id = next.run_id
  and live.status = 'WAITING_TO_RESUME'
returning live.env_id, live.run_id, live.worker_id, live.epoch, next.lane_id;

-- name: write_lanes :none
-- Write the counts of lanes that are locked, and open or close their lines, locked too.
with counted as (
    update oncue.lanes as lane
    set running = now.running,
        resuming = now.resuming
    from unnest(:lanes::bigint[], :running::int[], :resuming::int[]) as now(id, running, resuming)
    where lane.id = now.id
    returning lane.id, lane.queue_id, now.running + now.resuming < lane.slots as has_room
)
update oncue.lines as line
set open = counted.has_room and not queue.paused,
    eligible = counted.has_room and not queue.paused and line.pending > 0
from counted
join oncue.queues as queue on queue.id = counted.queue_id
where line.lane_id = counted.id
  and line.open is distinct from (counted.has_room and not queue.paused);
