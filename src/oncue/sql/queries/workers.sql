-- name: declare_tasks :many TaskRow
-- Record tasks as their code declares them; the latest announcement counts.
insert into oncue.tasks as task (
    env_id, region, version, slug, queue, retry, machine, isolated, ttl, max_duration, payload_schema, file
)
select :env_id::int, region.name, version.name, told.*
from unnest(
    :slugs::text[], :queues::text[], :retries::text[], :machines::text[], :isolated::boolean[], :ttls::interval[],
    :max_durations::interval[], :schemas::text[], :files::text[]
) as told(slug, queue, retry, machine, isolated, ttl, max_duration, payload_schema, file)
cross join unnest(:regions::text[]) as region(name)
cross join unnest(:versions::text[]) as version(name)
order by told.slug, region.name, version.name
on conflict (env_id, slug, region, version, held_to) do update
set queue = excluded.queue,
    retry = excluded.retry,
    machine = excluded.machine,
    isolated = excluded.isolated,
    ttl = excluded.ttl,
    max_duration = excluded.max_duration,
    payload_schema = excluded.payload_schema,
    file = excluded.file,
    announced_at = oncue.now()
returning task.id, task.slug, task.region, task.version;

-- name: announce :none
-- Take a worker in, or take note of what it says anew.
insert into oncue.workers as worker (id, env_id, hostname, pid, sdk_version, places, tasks, queues, region, version, cpus,
    memory, unlocked, locked, is_version_made, lease_until)
values (
    :id::uuid, :env_id::int, :hostname::text, :pid::int, :sdk_version::text, :places::int, :tasks::int[],
    :queues::text[], :region::text, :version::text, :cpus::float, :memory::bigint, :unlocked::int[],
    :locked::int[], :is_version_made::boolean, oncue.now() + :lease::interval
)
on conflict (id) do update
set places = excluded.places,
    tasks = excluded.tasks,
    unlocked = excluded.unlocked,
    locked = excluded.locked,
    queues = excluded.queues,
    lease_until = excluded.lease_until
where worker.env_id = excluded.env_id;

-- name: beat :maybe Beaten
-- Extend a lease that has not been taken back.
update oncue.workers as worker
set lease_until = oncue.now() + :lease::interval
where worker.id = :id::uuid
  and worker.env_id = :env_id::int
returning worker.id;
