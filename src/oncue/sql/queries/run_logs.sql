-- name: append_lines :one Kept
-- Store lines of runs that there are; one that is there already stays.
with stored as (
    insert into oncue.run_logs (env_id, run_id, epoch, number, attempt, at, level, message, fields)
    select
        :env_id::int, line.run_id, line.epoch, line.number, line.attempt, line.at, line.level, line.message, line.fields
    from unnest(
        :run_ids::uuid[], :epochs::int[], :numbers::bigint[], :attempts::smallint[], :ats::timestamptz[],
        :levels::text[], :messages::text[], :fields::text[]
    ) as line(run_id, epoch, number, attempt, at, level, message, fields)
    where exists (
        select
        from oncue.runs as run
        where run.env_id = :env_id::int and run.id = line.run_id
    )
    on conflict (env_id, run_id, epoch, number) do nothing
    returning number
)
select count(*)::int as count
from stored;

-- name: find_run :maybe RunId
-- Whether there is such a run.
select run.id as run_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: read_lines :many LineRow
-- A run's lines after one of them, in the order in which they were written.
select line.epoch, line.number, line.attempt::int as attempt, line.at, line.level, line.message, line.fields
from oncue.run_logs as line
where line.env_id = :env_id::int
  and line.run_id = :run_id::uuid
  and (line.epoch, line.number) > (:epoch::int, :number::bigint)
order by line.epoch, line.number
limit :limit::int;
