-- name: make_queues :none
-- Make the queues that are missing.
with made as (
    insert into oncue.queues as queue (env_id, name, code_limit)
    select :env_id::int, wanted.name, wanted.code_limit
    from unnest(:names::text[], :limits::int[]) as wanted(name, code_limit)
    order by wanted.name
    on conflict (env_id, name) do nothing
    returning queue.id
)
insert into oncue.queue_turns (queue_id)
select made.id
from made;

-- name: lock_queues :many QueueLimit
-- Lock queues before their limit changes.
select queue.id, queue.name, queue.code_limit, queue.override_limit
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

-- name: write_override :none
-- Record what an operator says; null takes it back.
update oncue.queues as queue
set override_limit = :limit::int,
    overridden_at = case when :limit::int is not null then oncue.now() end,
    overridden_by = :by::text
where queue.id = :id::int;

-- name: write_paused :none
-- Record that a queue is paused or not.
update oncue.queues as queue
set paused = :paused::boolean
where queue.id = :id::int;

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
-- Say of runs that execute in lanes with a limit that they hold a slot, where that is not said yet; waits for those that
-- are ending. Without a limit the mark may stay: nobody counts it, and it is right again when there is a limit. So a
-- limit that is changed or lifted waits for no run.
with unmarked as materialized (
    select live.env_id, live.run_id, live.line_id
    from oncue.live as live
    where live.worker_id is not null
      and live.status = 'EXECUTING'
      and live.slot_lane is null
)
update oncue.live as live
set slot_lane = lane.id
from unmarked
join oncue.lines as line on line.id = unmarked.line_id
join oncue.lanes as lane on lane.id = line.lane_id
where live.env_id = unmarked.env_id
  and live.run_id = unmarked.run_id
  and live.status = 'EXECUTING'
  and lane.id = any(:lanes::bigint[])
  and lane.slots is not null;

-- name: count_slots :none
-- Count afresh who holds a slot of some lanes, and who wants one.
with held as materialized (
    select live.slot_lane as lane_id, count(*)::int as runs
    from oncue.live as live
    where live.worker_id is not null
      and live.slot_lane = any(:lanes::bigint[])
    group by live.slot_lane
),
wanted as materialized (
    select line.lane_id, count(*)::int as runs
    from oncue.lines as line
    join oncue.live as live on live.line_id = line.id
    where line.lane_id = any(:lanes::bigint[])
      and live.status = 'WAITING_TO_RESUME'
      and live.waits_left = 0
    group by line.lane_id
),
counted as (
    select lane.id, coalesce(held.runs, 0) as running, coalesce(wanted.runs, 0) as resuming
    from oncue.lanes as lane
    left join held on held.lane_id = lane.id
    left join wanted on wanted.lane_id = lane.id
    where lane.id = any(:lanes::bigint[])
)
update oncue.lanes as lane
set running = case when lane.slots is null then 0 else counted.running end,
    resuming = case when lane.slots is null then 0 else counted.resuming end
from counted
where lane.id = counted.id;

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

-- name: open_unlimited :one Opened
-- Open or close the lines of lanes without a limit, as their queue is paused or not. They are locked.
with changed as (
    update oncue.lines as line
    set open = not queue.paused,
        eligible = not queue.paused and line.pending > 0
    from oncue.lanes as lane
    join oncue.queues as queue on queue.id = lane.queue_id
    where line.lane_id = any(:lanes::bigint[])
      and lane.id = line.lane_id
      and lane.slots is null
      and line.open is distinct from (not queue.paused)
    returning line.open, line.pending
)
select coalesce(sum(changed.pending) filter (where changed.open), 0)::int as runs
from changed;
