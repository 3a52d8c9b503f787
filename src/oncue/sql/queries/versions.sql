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

-- name: lock_to_version :none
-- Write down which version runs started under.
update oncue.runs as run
set version = :version::text
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[])
  and run.version is null;
