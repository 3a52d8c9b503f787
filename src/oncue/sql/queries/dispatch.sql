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

-- name: worker_reach :maybe Reach
-- What a worker may be given. The share lock keeps recovery from taking the worker away meanwhile.
select worker.tasks, worker.queues, environment.concurrency_limit
from oncue.workers as worker
join oncue.environments as environment on environment.id = worker.env_id
where worker.id = :worker_id::uuid
  and worker.env_id = :env_id::int
  and worker.lease_until > oncue.now()
for key share of worker;

-- name: lock_environment :none
-- Lock an environment that has a limit.
select environment.id
from oncue.environments as environment
where environment.id = :env_id::int
for update;

-- name: count_executing :one Executing
-- How many runs execute in an environment, which is locked.
select count(live.run_id)::int as executing
from oncue.workers as worker
join oncue.live as live on live.worker_id = worker.id and live.status = 'EXECUTING'
where worker.env_id = :env_id::int;

-- name: next_line :maybe LineId
-- The line that is next, locked by others or not.
select line.id
from oncue.lines as line
where line.env_id = :env_id::int
  and line.task_id = any(:tasks::int[])
  and line.eligible
  and (:queues::text[] is null or exists (
      select
      from oncue.lanes as lane
      join oncue.queues as queue on queue.id = lane.queue_id
      where lane.id = line.lane_id and queue.name = any(:queues::text[])
  ))
order by line.served
limit 1;

-- name: lock_line :none
-- Wait for a line that others may hold.
select line.id
from oncue.lines as line
where line.id = :line_id::bigint
for update;

-- name: claim :many Claimed
-- Hand out at most :places pending runs, lines longest unserved first, in each line by `ord`.
-- A turn of a line is a run, or several where very many places are free: each line more costs two rows more.
-- Moves: PENDING -> EXECUTING.
with following as (
    select line.id, line.served, line.pending, line.lane_id
    from unnest(:tasks::int[]) as reachable(task_id)
    cross join lateral (
        select line.id, line.served, line.pending, line.lane_id
        from oncue.lines as line
        where line.env_id = :env_id::int
          and line.task_id = reachable.task_id
          and line.eligible
          and (:queues::text[] is null or exists (
              select
              from oncue.lanes as lane
              join oncue.queues as queue on queue.id = lane.queue_id
              where lane.id = line.lane_id and queue.name = any(:queues::text[])
          ))
        order by line.served
        limit :places::int
    ) as line
    order by line.served
    limit :places::int
),
-- As many of them as it takes to fill the places, by what their lanes have room for right now.
turn as (
    select seen.id
    from (
        select following.id, sum(least(
            following.pending,
            coalesce(greatest(lane.slots - lane.running - lane.resuming, 0), following.pending),
            greatest(:places::int / 25, 1)
        )) over (
            order by following.served, following.id rows between unbounded preceding and 1 preceding
        ) as runs_before
        from following
        join oncue.lanes as lane on lane.id = following.lane_id
    ) as seen
    where coalesce(seen.runs_before, 0) < :places::int
),
mine as materialized (
    select line.id, line.lane_id, line.pending, line.served
    from turn
    join oncue.lines as line on line.id = turn.id
    where line.eligible
    order by line.id
    for update of line skip locked
),
room as materialized (
    select lane.id, greatest(lane.slots - lane.running - lane.resuming, 0) as slots
    from oncue.lanes as lane
    where lane.id in (select mine.lane_id from mine)
      and lane.slots is not null
    order by lane.id
    for update
),
part as (
    select
        mine.id,
        mine.lane_id,
        mine.served,
        room.slots,
        least(mine.pending, greatest(:places::int / 25, ceil(:places::float / count(*) over ())::int)) as wanted
    from mine
    left join room on room.id = mine.lane_id
),
-- Lines of one lane share its room.
possible as (
    select
        part.id,
        part.lane_id,
        part.served,
        part.slots,
        case
            when part.slots is null then part.wanted
            else greatest(least(part.wanted, part.slots - coalesce(sum(part.wanted) over (
                partition by part.lane_id order by part.served, part.id rows between unbounded preceding and 1 preceding
            ), 0)), 0)::int
        end as runs
    from part
),
-- Where the places do not suffice for all, a line that gets less than its part keeps its turn for the next claim.
allotted as (
    select
        before.id,
        before.lane_id,
        before.slots,
        before.served,
        least(before.runs, :places::int - before.runs_before)::int as runs,
        before.runs_before + before.runs <= :places::int as is_served
    from (
        select possible.*, coalesce(sum(possible.runs) over (
            order by possible.served, possible.id rows between unbounded preceding and 1 preceding
        ), 0) as runs_before
        from possible
    ) as before
    where before.runs_before < :places::int
),
head as materialized (
    select live.place, live.ord, allotted.id as line_id, allotted.lane_id, allotted.slots
    from allotted
    cross join lateral (
        select pending.ctid as place, pending.ord
        from oncue.live as pending
        where pending.line_id = allotted.id
          and pending.status = 'PENDING'
        order by pending.ord, pending.run_id
        limit allotted.runs
        for update skip locked
    ) as live
    limit :places::int
),
moved as (
    update oncue.live as live
    set status = 'EXECUTING',
        worker_id = :worker_id::uuid,
        epoch = live.epoch + 1,
        slot_lane = case when head.slots is null then null else head.lane_id end,
        started_at = coalesce(live.started_at, oncue.now()),
        expires_at = null
    from head
    where live.ctid = head.place
      and live.status = 'PENDING'
    returning live.env_id, live.run_id, live.ord, live.epoch, live.attempt, head.line_id, live.slot_lane
),
taken as (
    select allotted.id, allotted.lane_id, allotted.slots, count(moved.run_id)::int as runs
    from allotted
    left join moved on moved.line_id = allotted.id
    group by allotted.id, allotted.lane_id, allotted.slots
),
-- They line up again in the order in which they were served; else the first would be first each time.
turned as materialized (
    select served.id, nextval('oncue.turns') as turn
    from (
        select allotted.id
        from allotted
        where allotted.is_served
        order by allotted.served, allotted.id
    ) as served
),
filled as (
    select taken.lane_id, taken.slots - sum(taken.runs)::int as left_over, sum(taken.runs)::int as runs
    from taken
    where taken.slots is not null
    group by taken.lane_id, taken.slots
),
lines_served as (
    update oncue.lines as line
    set pending = line.pending - taken.runs,
        served = coalesce(turned.turn, line.served),
        open = filled.left_over is null or filled.left_over > 0,
        eligible = (filled.left_over is null or filled.left_over > 0) and line.pending > taken.runs
    from taken
    left join turned on turned.id = taken.id
    left join filled on filled.lane_id = taken.lane_id
    where line.id = taken.id
),
lanes_served as (
    update oncue.lanes as lane
    set running = lane.running + filled.runs
    from filled
    where lane.id = filled.lane_id
      and filled.runs > 0
)
select
    run.id as run_id,
    moved.epoch,
    moved.attempt,
    run.task,
    run.queue,
    run.created_at,
    run.payload,
    run.payload_type,
    run.concurrency_key,
    run.tags,
    run.metadata,
    run.priority,
    run.max_attempts,
    run.max_duration,
    run.parent_id,
    run.root_id,
    run.depth,
    run.batch_id,
    run.is_test
from moved
join oncue.runs as run on run.env_id = moved.env_id and run.id = moved.run_id
order by moved.ord, moved.run_id;
