-- Runs that are too old to be kept go by the day.

-- When an id was minted: the other way round from id_at.
create function oncue.moment_of(id uuid) returns timestamptz
    language sql immutable parallel safe
    return to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

create function oncue.has_live_runs(day date) returns boolean
    language sql stable
    return exists (
        select
        from oncue.live as live
        where live.run_id >= oncue.id_at(day::timestamp at time zone 'UTC')
          and live.run_id < oncue.id_at((day + 1)::timestamp at time zone 'UTC')
    );

-- Drop the partition of a day, unless a run of it has not ended; false: it stays, for now or because others use it.
create function oncue.drop_runs_partition(day date) returns boolean
    language plpgsql
as $$
declare
    name text := 'runs_' || to_char(day, 'YYYYMMDD');
begin
    -- One server at a time, and nobody waits for a lock that would be taken in vain.
    if not pg_try_advisory_xact_lock(hashtext('oncue.retention')) or oncue.has_live_runs(day) then
        return false;
    end if;
    -- Whoever comes after this one waits as long as it does.
    set local lock_timeout = '100ms';
    begin
        -- The parent first, as whoever inserts does: two orders would be a deadlock.
        lock table oncue.runs in access exclusive mode;
        if oncue.has_live_runs(day) then
            return false;
        end if;
        execute format('drop table if exists oncue.%I', name);
    exception
        when lock_not_available then
            return false;
    end;
    return true;
end
$$;
