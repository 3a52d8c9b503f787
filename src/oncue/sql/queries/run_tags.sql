-- name: lock_tags :maybe Tagged
-- A run's tags, locked: who adds others at the same moment waits.
select run.tags
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid
for no key update;

-- name: store_tags :none
-- Write the tags of a locked run.
update oncue.runs as run
set tags = :tags::text[]
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;
