-- name: worker_reach :maybe Reach
-- What a worker may be given. The share lock keeps recovery from taking the worker away meanwhile.
select
    worker.tasks,
    worker.queues,
    worker.version,
    worker.unlocked,
    worker.locked,
    worker.cpus,
    worker.memory,
    environment.concurrency_limit,
    exists (
        select from oncue.tasks as task where task.env_id = worker.env_id and task.held_to <> ''
    ) as has_machines
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
      from oncue.queues as queue
      where queue.id = line.queue_id and queue.name = any(:queues::text[])
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
-- Hand out at most :places pending runs: queues in turn, in each the lines longest unserved, in each line by `ord`.
-- A turn of a line is a run, or several where very many places are free: each line more costs two rows more.
-- Moves: PENDING -> EXECUTING.
with recursive
-- Every queue that has something for a reachable task, found by going from one to the next in the index.
standing as (
    select reachable.task_id, first.queue_id
    from unnest(:tasks::int[]) as reachable(task_id)
    cross join lateral (
        select line.queue_id
        from oncue.lines as line
        where line.env_id = :env_id::int
          and line.task_id = reachable.task_id
          and line.eligible
        order by line.queue_id
        limit 1
    ) as first
    union all
    select standing.task_id, next.queue_id
    from standing
    cross join lateral (
        select line.queue_id
        from oncue.lines as line
        where line.env_id = :env_id::int
          and line.task_id = standing.task_id
          and line.eligible
          and line.queue_id > standing.queue_id
        order by line.queue_id
        limit 1
    ) as next
),
looked_at as materialized (
    select standing.task_id, standing.queue_id
    from standing
    limit :queues_at_once::int
),
served_queues as materialized (
    select queue.id
    from oncue.queues as queue
    where queue.env_id = :env_id::int
      and queue.name = any(:queues::text[])
),
following as (
    select line.id, line.served, line.pending, line.lane_id, line.queue_id
    from looked_at
    cross join lateral (
        select line.id, line.served, line.pending, line.lane_id, line.queue_id
        from oncue.lines as line
        where line.env_id = :env_id::int
          and line.task_id = looked_at.task_id
          and line.queue_id = looked_at.queue_id
          and line.eligible
        order by line.served
        limit (select ceil(:places::float / count(*))::int from looked_at)
    ) as line
    where :queues::text[] is null or looked_at.queue_id in (select served_queues.id from served_queues)
    union
    -- Where there are more queues than are looked at, or only some are served: those longest unserved of all.
    select line.id, line.served, line.pending, line.lane_id, line.queue_id
    from unnest(:tasks::int[]) as reachable(task_id)
    cross join lateral (
        select line.id, line.served, line.pending, line.lane_id, line.queue_id
        from oncue.lines as line
        where line.env_id = :env_id::int
          and line.task_id = reachable.task_id
          and line.eligible
          and (:queues::text[] is null or line.queue_id in (select served_queues.id from served_queues))
        order by line.served
        limit :places::int
    ) as line
    where :queues::text[] is not null or (select count(*) from looked_at) = :queues_at_once::int
),
-- Rows are asked for by arrays of ids where there are few of them but the planner, which cannot know how many queues and
-- lines were found, would read whole tables.
in_turn as (
    select
        following.id,
        following.pending,
        following.lane_id,
        row_number() over (
            order by ranked.is_first desc, ranked.place_in_queue, queue_turn.served nulls first, following.served,
            following.id
        ) as place
    from following
    join (
        select
            each.id,
            each.id = :first::bigint as is_first,
            row_number() over (partition by each.queue_id order by each.served, each.id) as place_in_queue
        from following as each
    ) as ranked on ranked.id = following.id
    left join (
        select known.queue_id, known.served
        from oncue.queue_turns as known
        where known.queue_id = any(array(select distinct each.queue_id from following as each))
    ) as queue_turn on queue_turn.queue_id = following.queue_id
),
-- As many of them as it takes to fill the places, by what their lanes have room for right now.
turn as (
    select seen.id, seen.place
    from (
        select in_turn.id, in_turn.place, sum(least(
            in_turn.pending,
            coalesce(greatest(lane.slots - lane.running - lane.resuming, 0), in_turn.pending),
            greatest(:places::int / 25, 1)
        )) over (order by in_turn.place rows between unbounded preceding and 1 preceding) as runs_before
        from in_turn
        join (
            select known.id, known.slots, known.running, known.resuming
            from oncue.lanes as known
            where known.id = any(array(select in_turn.lane_id from in_turn))
        ) as lane on lane.id = in_turn.lane_id
    ) as seen
    where coalesce(seen.runs_before, 0) < :places::int
),
mine as materialized (
    select line.id, line.lane_id, line.queue_id, line.pending, line.task_id
    from oncue.lines as line
    where line.id = any(array(select turn.id from turn))
      and line.eligible
    order by line.id
    for update skip locked
),
room as materialized (
    select lane.id, greatest(lane.slots - lane.running - lane.resuming, 0) as slots
    from oncue.lanes as lane
    where lane.id in (select mine.lane_id from mine)
      and lane.slots is not null
    order by lane.id
    for update
),
-- Queues have equal parts of the places, and so have the lines of each.
part as (
    select
        mine.id,
        mine.lane_id,
        mine.queue_id,
        turn.place,
        room.slots,
        least(mine.pending, greatest(
            :places::int / 25,
            ceil(:places::float / queues.together / count(*) over (partition by mine.queue_id))::int
        )) as wanted
    from mine
    join turn on turn.id = mine.id
    cross join (select count(distinct each.queue_id) as together from mine as each) as queues
    left join room on room.id = mine.lane_id
),
-- Lines of one lane share its room.
possible as (
    select
        part.id,
        part.lane_id,
        part.queue_id,
        part.place,
        part.slots,
        case
            when part.slots is null then part.wanted
            else greatest(least(part.wanted, part.slots - coalesce(sum(part.wanted) over (
                partition by part.lane_id order by part.place rows between unbounded preceding and 1 preceding
            ), 0)), 0)::int
        end as runs
    from part
),
-- Where the places do not suffice for all, a line that gets less than its part keeps its turn for the next claim.
allotted as (
    select
        before.id,
        before.lane_id,
        before.queue_id,
        before.slots,
        before.place,
        least(before.runs, :places::int - before.runs_before)::int as runs,
        before.runs_before + before.runs <= :places::int as is_served
    from (
        select possible.*, coalesce(sum(possible.runs) over (
            order by possible.place rows between unbounded preceding and 1 preceding
        ), 0) as runs_before
        from possible
    ) as before
    where before.runs_before < :places::int
),
-- Where runs go on: in the line of their worker's version, in the same lane, if any version may have started them.
going_on as materialized (
    select allotted.id as line_id, allotted.lane_id, allotted.queue_id, own.task_id, standing.id
    from allotted
    join mine on mine.id = allotted.id
    join unnest(:unlocked::int[], :locked::int[]) as own(unlocked_id, task_id) on own.unlocked_id = mine.task_id
    left join oncue.lines as standing on standing.lane_id = allotted.lane_id and standing.task_id = own.task_id
),
made as (
    insert into oncue.lines as line (env_id, lane_id, queue_id, task_id, open, served)
    -- Too open is allowed: a claim that finds no room closes it.
    select
        :env_id::int, going_on.lane_id, going_on.queue_id, going_on.task_id, not queue.paused,
        (select last_value from oncue.turns)
    from going_on
    join oncue.queues as queue on queue.id = going_on.queue_id
    where going_on.id is null
    order by going_on.lane_id, going_on.task_id
    -- One that another transaction has just made is not returned, and the run is locked at its next start.
    on conflict (lane_id, task_id) do nothing
    returning line.id, line.lane_id, line.task_id
),
target as (
    select going_on.line_id, coalesce(going_on.id, made.id) as id
    from going_on
    left join made on made.lane_id = going_on.lane_id and made.task_id = going_on.task_id
),
head as materialized (
    select live.place, live.ord, allotted.id as line_id, allotted.lane_id, allotted.slots, target.id as own_line_id
    from allotted
    left join target on target.line_id = allotted.id
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
        line_id = coalesce(head.own_line_id, live.line_id),
        version = coalesce(:version::text, live.version),
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
    select served.id, served.queue_id, nextval('oncue.turns') as turn
    from (
        select allotted.id, allotted.queue_id
        from allotted
        where allotted.is_served
        order by allotted.place
    ) as served
),
-- One queue alone needs no turns. Others may hold a row only to say nearly the same.
turning as materialized (
    select queue_turn.queue_id
    from oncue.queue_turns as queue_turn
    where queue_turn.queue_id = any(array(select turned.queue_id from turned))
      and (select count(*) from looked_at) > 1
    order by queue_turn.queue_id
    for update skip locked
),
queues_served as (
    update oncue.queue_turns as queue_turn
    set served = latest.turn
    from (
        select turned.queue_id, max(turned.turn) as turn
        from turned
        join turning on turning.queue_id = turned.queue_id
        group by turned.queue_id
    ) as latest
    where queue_turn.queue_id = latest.queue_id
      and queue_turn.queue_id = any(array(select turning.queue_id from turning))
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
    run.machine,
    run.parent_id,
    run.root_id,
    run.depth,
    run.batch_id,
    run.is_test
from moved
join oncue.runs as run on run.env_id = moved.env_id and run.id = moved.run_id
order by moved.ord, moved.run_id;
