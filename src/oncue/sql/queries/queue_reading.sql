-- name: make_declared :none
-- Make the queues that tasks declare and no run has named yet.
with made as (
    insert into oncue.queues as queue (env_id, name)
    select distinct task.env_id, task.queue
    from oncue.tasks as task
    where task.env_id = :env_id::int
      -- Looked for first: a conflict would use up an id.
      and not exists (
          select
          from oncue.queues as known
          where known.env_id = task.env_id and known.name = task.queue
      )
    order by task.queue
    on conflict (env_id, name) do nothing
    returning queue.id
)
insert into oncue.queue_turns (queue_id)
select made.id
from made;

-- name: find_by_id :maybe QueueId
-- A queue by its id.
select queue.id
from oncue.queues as queue
where queue.env_id = :env_id::int
  and queue.id = :id::int;

-- name: find_by_name :maybe QueueId
-- A queue by its name.
select queue.id
from oncue.queues as queue
where queue.env_id = :env_id::int
  and queue.name = :name::text;

-- name: queue_of_task :maybe TaskQueue
-- Which queue a task declares.
select task.queue
from oncue.tasks as task
where task.env_id = :env_id::int
  and task.slug = :task::text
  and task.region = ''
  and task.version = ''
  and task.held_to = '';

-- name: count_queues :one QueueCount
-- How many queues an environment has.
select count(*)::int as queues
from oncue.queues as queue
where queue.env_id = :env_id::int;

-- name: page_of_queues :many QueueId
-- A page of an environment's queues, by name.
select queue.id
from oncue.queues as queue
where queue.env_id = :env_id::int
order by queue.name
offset :skipped::bigint
limit :size::int;

-- name: read_queues :many QueueRow
-- Queues with their counts, by name. Lanes without a limit do not count who runs, so those runs are looked up: by their
-- workers, and so without regard to how long the lines are.
with held as (
    select lane.queue_id, sum(lane.running)::int as runs
    from oncue.lanes as lane
    where lane.queue_id = any(:ids::int[])
      and lane.slots is not null
    group by lane.queue_id
),
uncounted as (
    select lane.queue_id, count(*)::int as runs
    from oncue.workers as worker
    join oncue.live as live on live.worker_id = worker.id
    join oncue.lines as line on line.id = live.line_id
    join oncue.lanes as lane on lane.id = line.lane_id
    where worker.env_id = :env_id::int
      and live.status = 'EXECUTING'
      and lane.queue_id = any(:ids::int[])
      and (live.slot_lane is null or lane.slots is null)
    group by lane.queue_id
),
lined_up as (
    select lane.queue_id, sum(line.pending)::int as runs
    from oncue.lanes as lane
    join oncue.lines as line on line.lane_id = lane.id
    where lane.queue_id = any(:ids::int[])
      and line.pending > 0
    group by lane.queue_id
)
select
    queue.id,
    queue.name,
    queue.paused,
    queue.code_limit,
    queue.override_limit,
    queue.overridden_at,
    queue.overridden_by,
    coalesce(held.runs, 0) + coalesce(uncounted.runs, 0) as running,
    coalesce(lined_up.runs, 0) as queued
from oncue.queues as queue
left join held on held.queue_id = queue.id
left join uncounted on uncounted.queue_id = queue.id
left join lined_up on lined_up.queue_id = queue.id
where queue.env_id = :env_id::int
  and queue.id = any(:ids::int[])
order by queue.name;
