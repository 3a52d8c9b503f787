-- name: find_places :many Place
-- For each wanted (task, queue, key, region, version, machine), in order: what there is of it. A null queue means the
-- task's own. What the task declares stands in its row without a machine; the line belongs to the row with the machine
-- that the run is held to, if it is.
select
    wanted.position::int as position,
    task.id as task_id,
    task.version,
    task.ttl as task_ttl,
    task.machine as task_machine,
    held.machine as held_to,
    coalesce(wanted.queue, task.queue, 'task/' || wanted.task) as queue,
    queue.id as queue_id,
    queue.code_limit as code_limit,
    lane.id as lane_id,
    line.id as line_id
from unnest(:tasks::text[], :queues::text[], :keys::text[], :regions::text[], :versions::text[], :softly::boolean[],
    :machines::text[])
    with ordinality as wanted(task, queue, key, region, version, softly, machine, position)
left join lateral (
    select task.*
    from oncue.tasks as task
    where task.env_id = :env_id::int
      and task.slug = wanted.task
      and task.region = wanted.region
      and task.version = any(case when wanted.softly then array[wanted.version, ''] else array[wanted.version] end)
      and task.held_to = ''
    -- Any version's, where that one does not have the task and need not.
    order by task.version desc
    limit 1
) as task on true
cross join lateral (
    select case
        when :is_held::boolean and (task.isolated or coalesce(wanted.machine, task.machine, :default::text) <> :default::text)
        then coalesce(wanted.machine, task.machine, :default::text)
        else ''
    end as machine
) as held
left join oncue.tasks as own
    on own.env_id = :env_id::int and own.slug = wanted.task and own.region = wanted.region
    and own.version = task.version and own.held_to = held.machine
left join oncue.queues as queue
    on queue.env_id = :env_id::int and queue.name = coalesce(wanted.queue, task.queue, 'task/' || wanted.task)
left join oncue.lanes as lane
    on lane.queue_id = queue.id and lane.concurrency_key = coalesce(wanted.key, '')
left join oncue.lines as line
    on line.lane_id = lane.id and line.task_id = own.id
order by wanted.position;

-- name: make_lanes :none
-- Make the lanes that are missing, with their queue's effective limit.
insert into oncue.lanes (queue_id, concurrency_key, slots)
select queue.id, coalesce(wanted.key, ''), coalesce(queue.override_limit, queue.code_limit)
from unnest(:queues::text[], :keys::text[]) as wanted(queue, key)
join oncue.queues as queue on queue.env_id = :env_id::int and queue.name = wanted.queue
order by queue.id, wanted.key
-- A limit that is being changed is waited for.
for share of queue
on conflict (queue_id, concurrency_key) do nothing;

-- name: make_held :none
-- Make the rows that are missing of tasks whose runs are held to a machine.
insert into oncue.tasks (env_id, slug, region, version, held_to, queue)
select distinct :env_id::int, task.slug, task.region, task.version, wanted.held_to, task.queue
from unnest(:tasks::text[], :regions::text[], :versions::text[], :held_to::text[])
    as wanted(task, region, version, held_to)
join oncue.tasks as task
    on task.env_id = :env_id::int and task.slug = wanted.task and task.region = wanted.region
    and task.version = wanted.version and task.held_to = ''
where wanted.held_to <> ''
order by task.slug, task.region, task.version, wanted.held_to
on conflict (env_id, slug, region, version, held_to) do nothing;

-- name: make_lines :none
-- Make the lines that are missing; a new one joins at the end of the round.
insert into oncue.lines (env_id, lane_id, queue_id, task_id, open, served)
select
    :env_id::int,
    lane.id,
    queue.id,
    task.id,
    -- Too open is allowed: a claim that finds no room closes it.
    not queue.paused,
    (select last_value from oncue.turns)
from unnest(:tasks::text[], :queues::text[], :keys::text[], :regions::text[], :versions::text[], :held_to::text[])
    as wanted(task, queue, key, region, version, held_to)
join oncue.tasks as task
    on task.env_id = :env_id::int and task.slug = wanted.task and task.region = wanted.region
    and task.version = wanted.version and task.held_to = wanted.held_to
join oncue.queues as queue on queue.env_id = :env_id::int and queue.name = wanted.queue
join oncue.lanes as lane on lane.queue_id = queue.id and lane.concurrency_key = coalesce(wanted.key, '')
order by lane.id, task.id
on conflict (lane_id, task_id) do nothing;

-- name: lock_parked :many ParkedRun
-- Lock parked runs whose task has been announced meanwhile, oldest first.
select
    live.run_id, run.task, case when not run.is_queue_open then run.queue end as queue, run.concurrency_key, run.ttl,
    run.region, run.version, run.machine
from oncue.live as live
join oncue.runs as run on run.env_id = live.env_id and run.id = live.run_id
join oncue.tasks as task
    on task.env_id = live.env_id
    and task.slug = run.task
    and task.region = case when :is_placed::boolean then coalesce(run.region, '') else '' end
    and task.version = case when :is_placed::boolean then coalesce(run.version, '') else '' end
    and task.held_to = ''
where live.env_id = :env_id::int
  and live.status = 'PENDING_VERSION'
order by live.run_id
limit :limit::int
for update of live skip locked;

-- name: place :many Placed
-- Put parked runs in line; what they take from their task is known only now.
-- Moves: PENDING_VERSION -> PENDING.
with told as (
    update oncue.runs as run
    set queue = placed.queue,
        is_queue_open = false,
        machine = coalesce(run.machine, placed.machine),
        ttl = placed.ttl
    from unnest(:run_ids::uuid[], :queues::text[], :machines::text[], :ttls::interval[])
        as placed(run_id, queue, machine, ttl)
    where run.env_id = :env_id::int
      and run.id = placed.run_id
      and (run.is_queue_open or run.machine is null or run.ttl is distinct from placed.ttl)
)
update oncue.live as live
set status = 'PENDING',
    line_id = placed.line_id,
    expires_at = oncue.now() + placed.ttl
from unnest(:run_ids::uuid[], :lines::bigint[], :ttls::interval[]) as placed(run_id, line_id, ttl)
where live.env_id = :env_id::int
  and live.run_id = placed.run_id
  and live.status = 'PENDING_VERSION'
returning live.run_id, live.line_id;

-- name: read_standing :many StandingRun
-- What decides which line runs stand in that are not in it yet.
select
    live.run_id, run.task, run.queue, run.concurrency_key, run.region, coalesce(live.version, run.version) as version,
    run.machine
from oncue.live as live
join oncue.runs as run on run.env_id = live.env_id and run.id = live.run_id
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
  and live.status in ('DELAYED', 'RETRYING_AFTER_FAILURE')
  and live.line_id is not null
order by live.run_id
for update of live;

-- name: move :none
-- Let runs that are not in line yet stand in another one when their time comes.
update oncue.live as live
set line_id = moved.line_id
from unnest(:run_ids::uuid[], :lines::bigint[]) as moved(run_id, line_id)
where live.env_id = :env_id::int
  and live.run_id = moved.run_id
  and live.status in ('DELAYED', 'RETRYING_AFTER_FAILURE')
  and live.line_id is distinct from moved.line_id;
