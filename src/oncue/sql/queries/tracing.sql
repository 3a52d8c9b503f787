-- name: find_root :maybe RunId
-- The root of the family that a run belongs to; itself where it has no parent.
select coalesce(run.root_id, run.id) as run_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: read_family :many FamilyRun
-- A run with everything below it, parents before their children, at most :limit: one level after the other, so that
-- the parent of each run that is shown is shown, and no more is read than that.
with recursive family as (
    select run.id
    from oncue.runs as run
    where run.env_id = :env_id::int
      and run.id = :root_id::uuid
    union all
    select child.id
    from family
    join oncue.runs as child
        on child.env_id = :env_id::int and child.parent_id = family.id and child.depth <= :levels::int
),
shown as (
    select family.id
    from family
    limit :limit::int
)
select
    run.id, run.status, run.task, run.queue, run.parent_id, run.depth, run.created_at, run.started_at, run.finished_at, run.version,
    run.machine, task.file, oncue.now() as now
from oncue.runs_now as run
left join oncue.tasks as task
    on task.env_id = run.env_id
    and task.slug = run.task
    and task.region = ''
    and task.version = ''
    and task.held_to = ''
where run.env_id = :env_id::int
  and run.id = any(array(select shown.id from shown))
order by run.depth, run.id;

-- name: read_lines :many FamilyLine
-- What runs have logged, at most :limit lines.
select line.run_id, line.epoch, line.number, line.at, line.level, line.message, line.fields
from oncue.run_logs as line
where line.env_id = :env_id::int
  and line.run_id = any(:run_ids::uuid[])
order by line.run_id, line.epoch, line.number
limit :limit::int;
