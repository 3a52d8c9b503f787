-- name: make_ahead :one Made
-- Make the partitions around today that are missing. One server at a time.
with turn as materialized (
    select pg_advisory_xact_lock(hashtext('oncue.partitions')) is null as waited
)
select count(*) filter (where made.was_missing)::int as made
from turn
cross join generate_series(-:behind::int, :ahead::int) as day(off)
cross join lateral (
    select oncue.make_runs_partition((oncue.now() at time zone 'UTC')::date + day.off) as was_missing
) as made;

-- name: forget_request_keys :none
-- Drop request keys that are too old to be sent again.
delete from oncue.request_keys as used
where used.created_at < oncue.now() - :age::interval;
