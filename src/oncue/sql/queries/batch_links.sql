-- name: lock_live :many RunId
-- Have runs in progress look for links when they end; waits for those that are ending.
with locked as (
    select live.env_id, live.run_id
    from oncue.live as live
    where live.env_id = :env_id::int
      and live.run_id = any(:run_ids::uuid[])
    order by live.run_id
    for update
)
update oncue.live as live
set is_linked = true
from locked
where live.env_id = locked.env_id
  and live.run_id = locked.run_id
returning live.run_id;

-- name: add :many Added
-- Link items of a batch to runs, unless they are.
insert into oncue.batch_links as link (env_id, batch_id, item_id, run_id, ended)
select :env_id::int, :batch_id::uuid, asked.item_id, asked.run_id, asked.ended
from unnest(:items::uuid[], :runs::uuid[], :ended::boolean[]) as asked(item_id, run_id, ended)
on conflict (env_id, batch_id, item_id) do nothing
returning link.ended;

-- name: end :many BatchId
-- Mark the items of runs that have ended.
update oncue.batch_links as link
set ended = true
where link.env_id = :env_id::int
  and link.run_id = any(:run_ids::uuid[])
  and not link.ended
returning link.batch_id;

-- name: of_batch :many Link
-- The linked items of a batch.
select link.item_id, link.run_id
from oncue.batch_links as link
where link.env_id = :env_id::int
  and link.batch_id = :batch_id::uuid;

-- name: run_of :maybe RunId
-- The run that an item of some batch stands for.
select link.run_id
from oncue.batch_links as link
where link.env_id = :env_id::int
  and link.item_id = :item_id::uuid;
