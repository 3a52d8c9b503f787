-- name: hold :many HeldKey
-- Lock keys, made for the runs named if they are missing; waits for whoever holds one of them.
insert into oncue.debounces as held (env_id, task, key, run_id, latest_at)
select :env_id::int, asked.task, asked.key, asked.run_id, oncue.now() + asked.max_delay
from unnest(:tasks::text[], :keys::text[], :runs::uuid[], :max_delays::interval[])
    as asked(task, key, run_id, max_delay)
order by asked.task, asked.key
-- Changes nothing, but locks the row that is there and returns it.
on conflict (env_id, task, key) do update set run_id = held.run_id
returning held.task, held.key, held.run_id;

-- name: now :one Now
-- The moment that counts in this transaction.
select oncue.now() as moment;

-- name: lock_held :many RunId
-- Lock those of some runs that are held, in their order; waits for a release in progress. Held is as well whose time has
-- come but whose task no worker has announced.
select live.run_id
from oncue.live as live
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
  and live.status in ('DELAYED', 'PENDING_VERSION')
order by live.run_id
for update;

-- name: take_over :none
-- Let keys that are locked stand for other runs, which begin now.
update oncue.debounces as held
set run_id = asked.run_id,
    latest_at = oncue.now() + asked.max_delay
from unnest(:tasks::text[], :keys::text[], :runs::uuid[], :max_delays::interval[])
    as asked(task, key, run_id, max_delay)
where held.env_id = :env_id::int
  and held.task = asked.task
  and held.key = asked.key;

-- name: push :none
-- Hold runs for longer, as long as their bound allows, and replace what trailing calls replace.
-- Moves: DELAYED, PENDING_VERSION -> DELAYED.
with target as (
    select
        asked.*,
        run.priority,
        greatest(live.due_at, least(
            date_trunc('second', oncue.now() + asked.delay), held.latest_at, run.created_at + asked.max_delay
        )) as due_at
    from unnest(
        :run_ids::uuid[], :delays::interval[], :max_delays::interval[], :trailing::boolean[], :payloads::text[],
        :payload_types::text[], :metadata::text[], :tags::text[], :max_attempts::int[], :max_durations::interval[],
        :machines::text[]
    ) as asked(
        run_id, delay, max_delay, is_trailing, payload, payload_type, metadata, tags, max_attempts, max_duration, machine
    )
    join oncue.live as live
        on live.env_id = :env_id::int
        and live.run_id = asked.run_id
        and live.status in ('DELAYED', 'PENDING_VERSION')
    join oncue.runs as run on run.env_id = live.env_id and run.id = live.run_id
    left join oncue.debounces as held on held.env_id = live.env_id and held.run_id = live.run_id
),
told as (
    update oncue.runs as run
    set delay_until = target.due_at,
        payload = case when target.is_trailing then target.payload else run.payload end,
        payload_type = case when target.is_trailing then target.payload_type else run.payload_type end,
        metadata = coalesce(target.metadata, run.metadata),
        seed_metadata = coalesce(target.metadata, run.seed_metadata),
        tags = coalesce(target.tags::text[], run.tags),
        max_attempts = coalesce(target.max_attempts, run.max_attempts),
        max_duration = coalesce(target.max_duration, run.max_duration),
        machine = coalesce(target.machine, run.machine)
    from target
    where run.env_id = :env_id::int
      and run.id = target.run_id
)
update oncue.live as live
set status = 'DELAYED',
    due_at = target.due_at,
    ord = oncue.ord(target.due_at) - target.priority * 1000::bigint
from target
where live.env_id = :env_id::int
  and live.run_id = target.run_id
  and live.status in ('DELAYED', 'PENDING_VERSION');

-- name: lock_released :many Released
-- Lock at most :limit keys whose run is no longer held; those in use are left.
select old.env_id, old.task, old.key
from oncue.debounces as old
where not exists (
    select
    from oncue.live as live
    where live.env_id = old.env_id
      and live.run_id = old.run_id
      and live.status in ('DELAYED', 'PENDING_VERSION')
)
limit :limit::int
for update skip locked;

-- name: forget_released :none
-- Drop those of locked keys whose run is no longer held. A key may have been given to another run just before it was
-- locked; that run is seen only now.
delete from oncue.debounces as held
using unnest(:env_ids::int[], :tasks::text[], :keys::text[]) as old(env_id, task, key)
where held.env_id = old.env_id
  and held.task = old.task
  and held.key = old.key
  and not exists (
      select
      from oncue.live as live
      where live.env_id = held.env_id
        and live.run_id = held.run_id
        and live.status in ('DELAYED', 'PENDING_VERSION')
  );
