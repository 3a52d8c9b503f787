-- name: read_metadata :maybe Stored
-- A run's metadata.
select run.metadata
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: family :maybe Family
-- Who triggered a run, and where its family begins.
select run.parent_id, run.root_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: lock_documents :many Locked
-- Lock runs whose metadata is about to change, in their order; also those that have ended. A run's end writes the same
-- row, and neither loses what the other wrote, for they write different columns.
select
    run.id,
    run.metadata,
    coalesce(live.epoch, run.epoch) as epoch,
    coalesce(run.finished_at < oncue.now() - :window::interval, false) as is_closed
from oncue.runs as run
left join oncue.live as live on live.env_id = run.env_id and live.run_id = run.id
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[])
  and run.id between :first_id::uuid and :last_id::uuid
order by run.id
for no key update of run;

-- name: take_key :none
-- Note that a request has been carried out; none where it was before. Waits for whoever is about to note the same.
insert into oncue.request_keys (env_id, key, target_id)
values (:env_id::int, :key::text, :run_id::uuid)
on conflict (env_id, key) do nothing;

-- name: store_documents :none
-- Write changed metadata of locked runs. What a run was triggered with is kept at the first change: a replay starts
-- from that.
update oncue.runs as run
set metadata = changed.metadata,
    seed_metadata = coalesce(run.seed_metadata, run.metadata, '{}')
from unnest(:run_ids::uuid[], :documents::text[]) as changed(id, metadata)
where run.env_id = :env_id::int
  and run.id = changed.id
  and run.id between :first_id::uuid and :last_id::uuid;
