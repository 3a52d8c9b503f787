-- name: make_queues :none
-- Make the queues that are missing.
insert into oncue.queues as queue (env_id, name, code_limit)
select :env_id::int, wanted.name, wanted.code_limit
from unnest(:names::text[], :limits::int[]) as wanted(name, code_limit)
order by wanted.name
on conflict (env_id, name) do nothing;

-- name: lock_queues :many QueueLimit
-- Lock queues before their limit changes.
select queue.id, queue.name, queue.code_limit, queue.override_limit, queue.paused
from oncue.queues as queue
where queue.env_id = :env_id::int
  and queue.name = any(:names::text[])
order by queue.id
for update;

-- name: write_code_limits :none
-- Record what the code says; an operator's override stays.
update oncue.queues as queue
set code_limit = wanted.code_limit
from unnest(:ids::int[], :limits::int[]) as wanted(id, code_limit)
where queue.id = wanted.id;

-- name: lanes_of_queues :many LineId
-- All lanes of some queues.
select lane.id
from oncue.lanes as lane
where lane.queue_id = any(:queue_ids::int[]);

-- name: set_slots :none
-- Give lanes their queue's effective limit. The lanes and their lines are locked.
update oncue.lanes as lane
set slots = coalesce(queue.override_limit, queue.code_limit)
from oncue.queues as queue
where queue.id = lane.queue_id
  and lane.id = any(:lanes::bigint[]);

-- name: mark_slots :none
-- Say of each executing run of some lanes whether it holds a slot of its lane; waits for those that are ending.
update oncue.live as live
set slot_lane = case when lane.slots is null then null else lane.id end
from oncue.lines as line
join oncue.lanes as lane on lane.id = line.lane_id
where line.lane_id = any(:lanes::bigint[])
  and live.line_id = line.id
  and live.status = 'EXECUTING';

-- name: count_slots :none
-- Count afresh who holds a slot of some lanes, and who wants one.
update oncue.lanes as lane
set running = case when lane.slots is null then 0 else (
        select count(*) from oncue.live as live where live.slot_lane = lane.id
    ) end,
    resuming = case when lane.slots is null then 0 else (
        select count(*)
        from oncue.lines as line
        join oncue.live as live on live.line_id = line.id
        where line.lane_id = lane.id
          and live.status = 'WAITING_TO_RESUME'
          and live.waits_left = 0
    ) end
where lane.id = any(:lanes::bigint[]);

-- name: resuming_without_limit :many RunId
-- Runs that wanted a slot of lanes that have no limit any more.
select live.run_id
from oncue.lanes as lane
join oncue.lines as line on line.lane_id = lane.id
join oncue.live as live on live.line_id = line.id
where lane.id = any(:lanes::bigint[])
  and lane.slots is null
  and live.status = 'WAITING_TO_RESUME'
  and live.waits_left = 0
order by live.run_id;

-- name: open_unlimited :none
-- Open or close the lines of lanes without a limit, as their queue is paused or not. They are locked.
update oncue.lines as line
set open = not queue.paused,
    eligible = not queue.paused and line.pending > 0
from oncue.lanes as lane
join oncue.queues as queue on queue.id = lane.queue_id
where line.lane_id = any(:lanes::bigint[])
  and lane.id = line.lane_id
  and lane.slots is null
  and line.open is distinct from (not queue.paused);
