-- name: take_keys :many Meant
-- Take request keys that nobody has used yet; waits for whoever is about to use the same one.
insert into oncue.request_keys (env_id, key, target_id)
select :env_id::int, asked.key, asked.target_id
from unnest(:keys::text[], :targets::uuid[]) as asked(key, target_id)
order by asked.key
on conflict (env_id, key) do nothing
returning key, target_id, is_cached;

-- name: used_keys :many Meant
-- What request keys were used for.
select used.key, used.target_id, used.is_cached
from oncue.request_keys as used
where used.env_id = :env_id::int
  and used.key = any(:keys::text[]);

-- name: point :none
-- Let request keys that are locked stand for runs that were there before.
update oncue.request_keys as used
set target_id = meant.target_id,
    is_cached = meant.is_cached
from unnest(:keys::text[], :targets::uuid[], :cached::boolean[]) as meant(key, target_id, is_cached)
where used.env_id = :env_id::int
  and used.key = meant.key;
