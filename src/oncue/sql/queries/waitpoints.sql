-- name: insert :maybe WaitpointId
-- Make a waitpoint; one moment or none. Nothing where another one has its idempotency key.
insert into oncue.waitpoints as waitpoint (
    env_id, id, is_token, due_at, tags, idempotency_key, key_expires_at, parent_id, parent_attempt, call_key
)
values (
    :env_id::int, :id::uuid, :is_token::boolean,
    coalesce(:until::timestamptz, oncue.now() + :delay::interval),
    :tags::text[], :idempotency_key::text, oncue.now() + :key_lifetime::interval,
    :parent_id::uuid, :parent_attempt::smallint, :call_key::text
)
on conflict do nothing
returning waitpoint.id;

-- name: recorded :maybe WaitpointId
-- The waitpoint that a durable call of an attempt made before.
select waitpoint.id
from oncue.waitpoints as waitpoint
where waitpoint.env_id = :env_id::int
  and waitpoint.parent_id = :parent_id::uuid
  and waitpoint.parent_attempt = :attempt::smallint
  and waitpoint.call_key = :call_key::text;

-- name: lock :maybe LockedWaitpoint
-- Lock a waitpoint, so that it is not settled meanwhile, or only once.
select waitpoint.id, waitpoint.is_token, waitpoint.settled_at is not null as is_settled
from oncue.waitpoints as waitpoint
where waitpoint.env_id = :env_id::int
  and waitpoint.id = :id::uuid
for update;

-- name: settle_due :many DueWaitpoint
-- Settle at most :limit waitpoints whose moment has come, longest overdue first.
with due as (
    select waitpoint.env_id, waitpoint.id
    from oncue.waitpoints as waitpoint
    where waitpoint.settled_at is null
      and waitpoint.due_at <= oncue.now()
    order by waitpoint.due_at
    limit :limit::int
    for update skip locked
)
update oncue.waitpoints as waitpoint
set settled_at = oncue.now(),
    timed_out = waitpoint.is_token
from due
where waitpoint.env_id = due.env_id
  and waitpoint.id = due.id
returning waitpoint.env_id, waitpoint.id;

-- name: next_due :one NextDue
-- How long until the next waitpoint is due; null if there is none.
select min(waitpoint.due_at) - oncue.now() as wait
from oncue.waitpoints as waitpoint
where waitpoint.settled_at is null
  and waitpoint.due_at is not null;

-- name: forget_moments :one Forgotten
-- Drop at most :limit moments that have passed and whose run has ended: nobody can come back to them.
with gone as (
    delete from oncue.waitpoints as waitpoint
    where (waitpoint.env_id, waitpoint.id) in (
        select passed.env_id, passed.id
        from oncue.waitpoints as passed
        where not passed.is_token
          and passed.settled_at is not null
          and not exists (
              select
              from oncue.live as live
              where live.env_id = passed.env_id and live.run_id = passed.parent_id
          )
        limit :limit::int
    )
    returning waitpoint.id
)
select count(*)::int as count
from gone;
