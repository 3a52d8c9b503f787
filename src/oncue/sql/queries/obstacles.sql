-- name: find_standing :maybe Standing
-- Where a run in line stands, and what the workers are like that could have it.
select
    task.slug as task,
    task.region,
    task.version,
    task.held_to as machine,
    queue.name as queue,
    queue.paused,
    lane.concurrency_key,
    lane.slots,
    lane.running + lane.resuming as taken,
    able.workers,
    able.most_cpus,
    able.most_memory,
    coalesce(able.is_large, false) as is_large,
    coalesce(able.has_room, false) as has_room
from oncue.live as live
join oncue.lines as line on line.id = live.line_id
join oncue.lanes as lane on lane.id = line.lane_id
join oncue.queues as queue on queue.id = line.queue_id
join oncue.tasks as task on task.id = line.task_id
join oncue.tasks as known
    on known.env_id = task.env_id
    and known.slug = task.slug
    and known.region = task.region
    and known.version = task.version
    and known.held_to = ''
left join unnest(:machines::text[], :cpus::float[], :memory::bigint[]) as needed(machine, cpus, memory)
    on needed.machine = task.held_to
cross join lateral (
    select
        count(*)::int as workers,
        -- Of one worker, that has the most memory.
        (array_agg(worker.cpus order by worker.memory desc nulls last, worker.cpus desc nulls last))[1] as most_cpus,
        max(worker.memory) as most_memory,
        bool_or(worker.cpus >= needed.cpus and worker.memory >= needed.memory) as is_large,
        bool_or(
            worker.cpus - coalesce(used.cpus, 0) >= needed.cpus
            and worker.memory - coalesce(used.memory, 0) >= needed.memory
        ) as has_room
    from oncue.workers as worker
    cross join lateral (
        select sum(size.cpus) as cpus, sum(size.memory)::bigint as memory
        from oncue.live as held
        join oncue.lines as standing on standing.id = held.line_id
        join oncue.tasks as under on under.id = standing.task_id
        join unnest(:machines::text[], :cpus::float[], :memory::bigint[]) as size(machine, cpus, memory)
            on size.machine = under.held_to
        where needed.machine is not null
          and held.worker_id = worker.id
          and held.status = 'EXECUTING'
    ) as used
    where worker.env_id = known.env_id
      and worker.lease_until > oncue.now()
      and known.id = any(worker.tasks)
      and (worker.queues is null or queue.name = any(worker.queues))
) as able
where live.env_id = :env_id::int
  and live.run_id = :run_id::uuid
  and live.status = 'PENDING';
