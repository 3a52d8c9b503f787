-- name: waiting_machines :many WaitingMachine
-- The machines for which runs are in line that a worker can run, longest unserved first; with the tasks' rows, and how
-- long the first run of any line has waited.
select
    task.held_to as machine,
    array_agg(distinct task.id order by task.id)::int[] as tasks,
    oncue.now() - to_timestamp(min(first.due) / 1000000.0) as waited
from oncue.tasks as task
join oncue.tasks as known
    on known.env_id = task.env_id
    and known.slug = task.slug
    and known.region = task.region
    and known.version = task.version
    and known.held_to = ''
join oncue.lines as line on line.env_id = task.env_id and line.task_id = task.id and line.eligible
left join lateral (
    -- When it came into line, its head start taken back.
    select live.ord + run.priority * 1000::bigint as due
    from oncue.live as live
    join oncue.runs as run on run.env_id = live.env_id and run.id = live.run_id
    where live.line_id = line.id
      and live.status = 'PENDING'
    order by live.ord, live.run_id
    limit 1
) as first on true
where task.env_id = :env_id::int
  and task.held_to <> ''
  and known.id = any(:tasks::int[])
  and (:queues::text[] is null or exists (
      select
      from oncue.queues as queue
      where queue.id = line.queue_id and queue.name = any(:queues::text[])
  ))
group by task.held_to
order by min(line.served), task.held_to;

-- name: held_machines :many HeldMachine
-- The machines of the runs that a worker executes.
select task.held_to as machine, count(*)::int as runs
from oncue.live as live
join oncue.lines as line on line.id = live.line_id
join oncue.tasks as task on task.id = line.task_id and task.held_to <> ''
where live.worker_id = :worker_id::uuid
  and live.status = 'EXECUTING'
group by task.held_to
order by task.held_to;

-- name: too_large :many TooLarge
-- The tasks of a worker with runs in line whose machine is larger than each worker that could have them.
select
    task.slug as task,
    task.held_to as machine,
    -- Of one worker, that has the most memory.
    (array_agg(other.cpus order by other.memory desc nulls last, other.cpus desc nulls last))[1] as most_cpus,
    max(other.memory) as most_memory
from oncue.workers as worker
join oncue.tasks as known on known.id = any(worker.tasks)
join oncue.tasks as task
    on task.env_id = known.env_id
    and task.slug = known.slug
    and task.region = known.region
    and task.version = known.version
    and task.held_to <> ''
join unnest(:machines::text[], :cpus::float[], :memory::bigint[]) as needed(machine, cpus, memory)
    on needed.machine = task.held_to
join oncue.workers as other
    on other.env_id = worker.env_id and other.lease_until > oncue.now() and known.id = any(other.tasks)
where worker.id = :worker_id::uuid
  and worker.env_id = :env_id::int
  and exists (
      select from oncue.lines as line
      where line.env_id = task.env_id and line.task_id = task.id and line.pending > 0
  )
group by task.slug, task.held_to, needed.cpus, needed.memory
having not bool_or(coalesce(other.cpus, 0) >= needed.cpus and coalesce(other.memory, 0) >= needed.memory)
order by task.slug, task.held_to;
