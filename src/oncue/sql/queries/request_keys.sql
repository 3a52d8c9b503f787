-- name: take_keys :many Keyed
-- Take request keys that nobody has used yet; waits for whoever is about to use the same one.
insert into oncue.request_keys (env_id, key, target_id)
select :env_id::int, asked.key, asked.target_id
from unnest(:keys::text[], :targets::uuid[]) as asked(key, target_id)
order by asked.key
on conflict (env_id, key) do nothing
returning key, target_id;

-- name: used_keys :many Keyed
-- What request keys were used for.
select used.key, used.target_id
from oncue.request_keys as used
where used.env_id = :env_id::int
  and used.key = any(:keys::text[]);
