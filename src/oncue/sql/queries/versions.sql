-- name: find_version :maybe VersionName
-- The version that was made for some code.
select made.name
from oncue.versions as made
where made.env_id = :env_id::int
  and made.fingerprint = :fingerprint::text;

-- name: lock_numbers :none
-- Let nobody else make a version in an environment meanwhile.
select environment.id
from oncue.environments as environment
where environment.id = :env_id::int
for no key update;

-- name: make_version :one VersionName
-- Make the version of some code: the day, and the next number of that day.
insert into oncue.versions as made (env_id, name, fingerprint)
select :env_id::int, today.day || '.' || 1 + coalesce(max(split_part(known.name, '.', 2)::numeric), 0), :fingerprint::text
from (select to_char(oncue.now() at time zone 'utc', 'YYYYMMDD') as day) as today
left join (
    select other.name
    from oncue.versions as other
    where other.env_id = :env_id::int
    union
    select task.version
    from oncue.tasks as task
    where task.env_id = :env_id::int
) as known on known.name like today.day || '.%'
group by today.day
-- Changes nothing, but returns what another has just made.
on conflict (env_id, fingerprint) do update set fingerprint = excluded.fingerprint
returning made.name;

-- name: adopt :many WorkerId
-- Give workers whose version was made the tasks of made versions that have no worker any more, and runs that have been
-- in line for a while: a worker that is restarted is back by then.
with left_behind as (
    select distinct known.id, known.slug, known.region
    from oncue.lines as line
    join oncue.tasks as under on under.id = line.task_id
    join oncue.versions as made on made.env_id = under.env_id and made.name = under.version
    join oncue.tasks as known
        on known.env_id = under.env_id
        and known.slug = under.slug
        and known.region = under.region
        and known.version = under.version
        and known.held_to = ''
    where line.env_id = :env_id::int
      and line.eligible
      and exists (
          select
          from oncue.live as live
          where live.line_id = line.id
            and live.status = 'PENDING'
            and live.ord < oncue.ord(oncue.now() - :patience::interval)
      )
      and not exists (
          select
          from oncue.workers as other
          where other.env_id = made.env_id
            and other.version = made.name
            and other.lease_until > oncue.now()
      )
),
heir as (
    select worker.id, array_agg(distinct left_behind.id) as tasks
    from left_behind
    join oncue.tasks as own
        on own.env_id = :env_id::int
        and own.slug = left_behind.slug
        and own.region = left_behind.region
        and own.held_to = ''
    join oncue.workers as worker
        on worker.env_id = own.env_id
        and worker.version = own.version
        and worker.is_version_made
        and worker.lease_until > oncue.now()
        and own.id = any(worker.tasks)
    where left_behind.id <> all(worker.tasks)
    group by worker.id
),
free as (
    select worker.id
    from oncue.workers as worker
    where worker.id in (select heir.id from heir)
    order by worker.id
    for no key update skip locked
)
update oncue.workers as worker
set tasks = worker.tasks || heir.tasks
from heir
join free on free.id = heir.id
where worker.id = heir.id
returning worker.id;

-- name: take_back :none
-- Take rows of tasks from workers of other versions that were given them.
with holding as (
    select worker.id
    from oncue.workers as worker
    where worker.env_id = :env_id::int
      and worker.is_version_made
      and worker.version <> :version::text
      and worker.tasks && :tasks::int[]
    order by worker.id
    for no key update
)
update oncue.workers as worker
set tasks = array(select each.id from unnest(worker.tasks) as each(id) where each.id <> all(:tasks::int[]))
from holding
where worker.id = holding.id;

-- name: make_held_of_version :none
-- Make the rows that are missing of tasks whose runs are held to a machine under a version.
insert into oncue.tasks (env_id, slug, region, version, held_to, queue)
select distinct task.env_id, task.slug, task.region, :version::text, task.held_to, task.queue
from oncue.live as live
join oncue.lines as line on line.id = live.line_id
join oncue.tasks as task on task.id = line.task_id
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
  and task.version = ''
  and task.held_to <> ''
order by task.slug, task.region, task.held_to
on conflict (env_id, slug, region, version, held_to) do nothing;

-- name: make_lines_of_version :none
-- Make the lines that are missing for runs of a version, in the lanes in which they are.
insert into oncue.lines (env_id, lane_id, queue_id, task_id, open, served)
select distinct
    :env_id::int, line.lane_id, line.queue_id, under.id, not queue.paused, (select last_value from oncue.turns)
from oncue.live as live
join oncue.lines as line on line.id = live.line_id
join oncue.queues as queue on queue.id = line.queue_id
join oncue.tasks as task on task.id = line.task_id
join oncue.tasks as under
    on under.env_id = task.env_id
    and under.slug = task.slug
    and under.region = task.region
    and under.version = :version::text
    and under.held_to = task.held_to
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
  and task.version = ''
order by line.lane_id, under.id
on conflict (lane_id, task_id) do nothing;

-- name: join_lines_of_version :none
-- Let claimed runs stand in the line of their version from now on.
update oncue.live as live
set line_id = target.id
from oncue.lines as line
join oncue.tasks as task on task.id = line.task_id and task.version = ''
join oncue.tasks as under
    on under.env_id = task.env_id
    and under.slug = task.slug
    and under.region = task.region
    and under.version = :version::text
    and under.held_to = task.held_to
join oncue.lines as target on target.lane_id = line.lane_id and target.task_id = under.id
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
  and line.id = live.line_id;
