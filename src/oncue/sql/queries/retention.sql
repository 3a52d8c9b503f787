-- name: first_kept :one Day
-- The first day whose runs are kept: so long ago, or that of the oldest run in progress, which may ask for its children.
select least(
    (oncue.now() at time zone 'UTC')::date - :days::int,
    (
        select (oncue.moment_of(live.run_id) at time zone 'UTC')::date
        from oncue.live as live
        where live.epoch > 0
        order by live.run_id
        limit 1
    )
) as day;

-- name: old_days :many Day
-- The days before another of which there is a partition, oldest first.
select to_date(right(child.relname, 8), 'YYYYMMDD') as day
from pg_inherits as inherits
join pg_class as child on child.oid = inherits.inhrelid
where inherits.inhparent = 'oncue.runs'::regclass
  and child.relname ~ '^runs_[0-9]{8}$'
  and to_date(right(child.relname, 8), 'YYYYMMDD') < :before::date
order by day;

-- name: drop_day :one Dropped
-- Drop the runs of a day, unless one of them has not ended.
select oncue.drop_runs_partition(:day::date) as dropped;

-- name: days_of_objects :many Day
-- The days under which objects are stored that runs name which are older than :before, or outside of every day.
with old as (
    select run.payload, run.payload_type, run.output, run.output_type
    from oncue.runs as run
    where run.id < oncue.id_at(:before::date::timestamp at time zone 'UTC')
    union all
    select run.payload, run.payload_type, run.output, run.output_type
    from oncue.runs_default as run
)
-- A path is kept as JSON text, in quotes, and begins with its day.
select substr(old.payload, 2, 10)::date as day
from old
where old.payload_type = 'application/store'
union
select substr(old.output, 2, 10)::date as day
from old
where old.output_type = 'application/store';

-- name: delete_strays :none
-- Delete at most :limit runs that have ended and have no partition of a day.
delete from oncue.runs_default as run
where (run.env_id, run.id) in (
    select stray.env_id, stray.id
    from oncue.runs_default as stray
    where stray.finished_at < :before::date::timestamp at time zone 'UTC'
    limit :limit::int
);

-- name: delete_logs :none
-- Delete at most :limit lines that runs of days before another have logged, but for days that stay.
delete from oncue.run_logs as line
where (line.env_id, line.run_id, line.epoch, line.number) in (
    select old.env_id, old.run_id, old.epoch, old.number
    from oncue.environments as environment
    join oncue.run_logs as old
      on old.env_id = environment.id
     and old.run_id < oncue.id_at(:before::date::timestamp at time zone 'UTC')
    where (oncue.moment_of(old.run_id) at time zone 'UTC')::date <> all (:left::date[])
    limit :limit::int
);

-- name: delete_chunks :none
-- Delete at most :limit chunks of streams of runs of days before another, but for days that stay.
delete from oncue.stream_chunks as chunk
where (chunk.env_id, chunk.run_id, chunk.key, chunk.number) in (
    select old.env_id, old.run_id, old.key, old.number
    from oncue.environments as environment
    join oncue.stream_chunks as old
      on old.env_id = environment.id
     and old.run_id < oncue.id_at(:before::date::timestamp at time zone 'UTC')
    where (oncue.moment_of(old.run_id) at time zone 'UTC')::date <> all (:left::date[])
    limit :limit::int
);

-- name: delete_streams :none
-- Delete at most :limit streams of runs of days before another, but for days that stay.
delete from oncue.run_streams as stream
where (stream.env_id, stream.run_id, stream.key) in (
    select old.env_id, old.run_id, old.key
    from oncue.environments as environment
    join oncue.run_streams as old
      on old.env_id = environment.id
     and old.run_id < oncue.id_at(:before::date::timestamp at time zone 'UTC')
    where (oncue.moment_of(old.run_id) at time zone 'UTC')::date <> all (:left::date[])
    limit :limit::int
);

-- name: delete_inputs :none
-- Delete at most :limit values that runs of days before another were sent, but for days that stay.
delete from oncue.run_inputs as input
where (input.env_id, input.run_id, input.key, input.number) in (
    select old.env_id, old.run_id, old.key, old.number
    from oncue.environments as environment
    join oncue.run_inputs as old
      on old.env_id = environment.id
     and old.run_id < oncue.id_at(:before::date::timestamp at time zone 'UTC')
    where (oncue.moment_of(old.run_id) at time zone 'UTC')::date <> all (:left::date[])
    limit :limit::int
);

-- name: delete_links :none
-- Delete at most :limit links of batches of days before another, but for days that stay.
delete from oncue.batch_links as link
where (link.env_id, link.batch_id, link.item_id) in (
    select old.env_id, old.batch_id, old.item_id
    from oncue.environments as environment
    join oncue.batch_links as old
      on old.env_id = environment.id
     and old.batch_id < oncue.id_at(:before::date::timestamp at time zone 'UTC')
    where (oncue.moment_of(old.batch_id) at time zone 'UTC')::date <> all (:left::date[])
    limit :limit::int
);

-- name: delete_batches :none
-- Delete at most :limit batches of days before another that were done or given up before it, but for days that stay.
delete from oncue.batches as batch
where (batch.env_id, batch.id) in (
    select old.env_id, old.id
    from oncue.environments as environment
    join oncue.batches as old
      on old.env_id = environment.id
     and old.id < oncue.id_at(:before::date::timestamp at time zone 'UTC')
    where old.finished_at < :before::date::timestamp at time zone 'UTC'
      and (oncue.moment_of(old.id) at time zone 'UTC')::date <> all (:left::date[])
    limit :limit::int
);

-- name: delete_bulk_runs :none
-- Delete at most :limit choices of bulk actions that ended before a day.
delete from oncue.bulk_runs as chosen
where (chosen.env_id, chosen.action_id, chosen.run_id) in (
    select old.env_id, old.action_id, old.run_id
    from oncue.bulk_actions as action
    join oncue.bulk_runs as old on old.env_id = action.env_id and old.action_id = action.id
    where action.finished_at < :before::date::timestamp at time zone 'UTC'
      and (oncue.moment_of(action.id) at time zone 'UTC')::date <> all (:left::date[])
    limit :limit::int
);

-- name: delete_bulk_actions :none
-- Delete at most :limit bulk actions that ended before a day, and of whose choices nothing is left.
delete from oncue.bulk_actions as action
where (action.env_id, action.id) in (
    select old.env_id, old.id
    from oncue.bulk_actions as old
    where old.finished_at < :before::date::timestamp at time zone 'UTC'
      and (oncue.moment_of(old.id) at time zone 'UTC')::date <> all (:left::date[])
      and not exists (
          select
          from oncue.bulk_runs as chosen
          where chosen.env_id = old.env_id
            and chosen.action_id = old.id
      )
    limit :limit::int
);

-- name: delete_waitpoints :none
-- Delete at most :limit tokens and moments that were settled before a day.
delete from oncue.waitpoints as waitpoint
where (waitpoint.env_id, waitpoint.id) in (
    select old.env_id, old.id
    from oncue.environments as environment
    join oncue.waitpoints as old
      on old.env_id = environment.id
     and old.id < oncue.id_at(:before::date::timestamp at time zone 'UTC')
    where old.settled_at < :before::date::timestamp at time zone 'UTC'
      and (oncue.moment_of(old.id) at time zone 'UTC')::date <> all (:left::date[])
    limit :limit::int
);
