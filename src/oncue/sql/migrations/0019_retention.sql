-- Runs that are too old to be kept go by the day.

-- When an id was minted: the other way round from id_at.
create function oncue.moment_of(id uuid) returns timestamptz
    language sql immutable parallel safe
    return to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

-- Drop the partition of a day, unless a run of it has not ended; false: it stays.
create function oncue.drop_runs_partition(day date) returns boolean
    language plpgsql
as $$
declare
    name text := 'runs_' || to_char(day, 'YYYYMMDD');
begin
    -- The parent first, as whoever inserts does: two orders would be a deadlock. Others wait no longer than this does.
    set local lock_timeout = '2s';
    lock table oncue.runs in access exclusive mode;
    if exists (
        select
        from oncue.live as live
        where live.run_id >= oncue.id_at(day::timestamp at time zone 'UTC')
          and live.run_id < oncue.id_at((day + 1)::timestamp at time zone 'UTC')
    ) then
        return false;
    end if;
    execute format('drop table if exists oncue.%I', name);
    return true;
end
$$;
