-- name: hold :many HeldKey
-- Lock keys, made for the runs named if they are missing; waits for whoever holds one of them.
insert into oncue.idempotency_keys as held (env_id, task, key, run_id, expires_at)
select :env_id::int, asked.task, asked.key, asked.run_id, oncue.now() + asked.lifetime
from unnest(:tasks::text[], :keys::text[], :runs::uuid[], :lifetimes::interval[]) as asked(task, key, run_id, lifetime)
order by asked.task, asked.key
-- Changes nothing, but locks the row that is there and returns it.
on conflict (env_id, task, key) do update set run_id = held.run_id
returning held.task, held.key, held.run_id;

-- name: worn_out :many HeldKey
-- Of keys that are locked: those that have expired, or whose run is gone or did not get through.
select held.task, held.key, held.run_id
from unnest(:tasks::text[], :keys::text[]) as asked(task, key)
join oncue.idempotency_keys as held
    on held.env_id = :env_id::int and held.task = asked.task and held.key = asked.key
left join oncue.runs as run on run.env_id = held.env_id and run.id = held.run_id
where held.expires_at <= oncue.now()
   or run.id is null
   or run.status in ('COMPLETED_WITH_ERRORS', 'CRASHED', 'SYSTEM_FAILURE', 'EXPIRED', 'TIMED_OUT');

-- name: take_over :none
-- Let keys that are locked stand for other runs.
update oncue.idempotency_keys as held
set run_id = asked.run_id,
    expires_at = oncue.now() + asked.lifetime
from unnest(:tasks::text[], :keys::text[], :runs::uuid[], :lifetimes::interval[]) as asked(task, key, run_id, lifetime)
where held.env_id = :env_id::int
  and held.task = asked.task
  and held.key = asked.key;

-- name: point :none
-- Let keys that are locked stand for the runs that take the place of theirs.
update oncue.idempotency_keys as held
set run_id = changed.other_id
from unnest(:tasks::text[], :keys::text[], :others::uuid[]) as changed(task, key, other_id)
where held.env_id = :env_id::int
  and held.task = changed.task
  and held.key = changed.key;

-- name: forget_shown :none
-- Take the key from runs that it no longer stands for.
update oncue.runs as run
set idempotency_key = null,
    idempotency_options = null
from unnest(:runs::uuid[], :keys::text[]) as held(run_id, key)
where run.env_id = :env_id::int
  and run.id = held.run_id
  and run.idempotency_key = held.key;

-- name: reset :many RunId
-- Forget a key.
delete from oncue.idempotency_keys as held
where held.env_id = :env_id::int
  and held.task = :task::text
  and held.key = :key::text
  and held.expires_at > oncue.now()
returning held.run_id;

-- name: forget_expired :none
-- Drop at most :limit keys whose time is over; those in use are left.
delete from oncue.idempotency_keys as held
using (
    select old.env_id, old.task, old.key
    from oncue.idempotency_keys as old
    where old.expires_at <= oncue.now()
    order by old.expires_at
    limit :limit::int
    for update skip locked
) as expired
where held.env_id = expired.env_id
  and held.task = expired.task
  and held.key = expired.key;
