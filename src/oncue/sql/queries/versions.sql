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
