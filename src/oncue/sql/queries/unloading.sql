-- name: lock_waiting_held :many RunId
-- Lock runs that wait and that a worker holds under these epochs.
select live.run_id
from unnest(:run_ids::uuid[], :epochs::int[]) as unloaded(run_id, epoch)
join oncue.live as live on live.env_id = :env_id::int and live.run_id = unloaded.run_id
where live.epoch = unloaded.epoch
  and live.worker_id = :worker_id::uuid
  and live.status = 'WAITING_TO_RESUME'
  and live.waits_left > 0
order by live.run_id
for update of live;

-- name: unload :many RunId
-- Let locked runs wait without a worker, unless something that the worker waited for is there.
with unloaded as (
    select told.run_id, told.ran_ms
    from unnest(:run_ids::uuid[], :ran_ms::bigint[]) as told(run_id, ran_ms)
    where not exists (
        select
        from unnest(:waiting::uuid[], :targets::uuid[]) as awaited(run_id, target_id)
        join oncue.waits as wait
            on wait.env_id = :env_id::int and wait.run_id = awaited.run_id and wait.target_id = awaited.target_id
        where awaited.run_id = told.run_id
          and wait.settled_at is not null
    )
),
billed as (
    update oncue.runs as run
    set compute_ms = coalesce(run.compute_ms, 0) + unloaded.ran_ms
    from unloaded
    where run.env_id = :env_id::int
      and run.id = unloaded.run_id
)
update oncue.live as live
set worker_id = null
from unloaded
where live.env_id = :env_id::int
  and live.run_id = unloaded.run_id
returning live.run_id;
