-- Both statements that end runs are one chain: the rows that go are read by the update alone, and what it returns is the
-- answer. Where two parts read them and PostgreSQL had to wait for one of the rows (somebody began to wait for the run at
-- that moment), it looked at the row once more, and the part that was read second found none at all: the live rows were
-- gone and the runs had no status.

-- name: finish_held :many Ended
-- End runs that a worker holds, each under the epoch it was given. Rows are joined by whole keys and nothing else can
-- serve as one: by worker alone, each outcome would be compared with every run that the worker holds.
-- Moves: EXECUTING -> COMPLETED_SUCCESSFULLY, COMPLETED_WITH_ERRORS, CRASHED, TIMED_OUT.
-- Moves: WAITING_TO_RESUME -> COMPLETED_SUCCESSFULLY, COMPLETED_WITH_ERRORS, CRASHED, TIMED_OUT.
with ending as materialized (
    select :env_id::int as env_id, ending.*
    from unnest(
        :run_ids::uuid[], :epochs::int[], :statuses::oncue.run_status[], :outputs::text[], :output_types::text[],
        :errors::text[], :ran_ms::bigint[]
    ) as ending(run_id, epoch, final_status, output, output_type, error, ran_ms)
),
gone as (
    delete from oncue.live as live
    using ending
    where live.env_id = ending.env_id
      and live.run_id = ending.run_id
      and live.worker_id is not distinct from :worker_id::uuid
      and live.epoch = ending.epoch
      and live.status in ('EXECUTING', 'WAITING_TO_RESUME')
    returning live.*, ending.final_status, ending.output, ending.output_type, ending.error, ending.ran_ms
)
update oncue.runs as run
set status = gone.final_status,
    version = coalesce(gone.version, run.version),
    epoch = gone.epoch,
    attempts = gone.attempt,
    started_at = gone.started_at,
    finished_at = oncue.now(),
    compute_ms = coalesce(run.compute_ms, 0) + gone.ran_ms,
    output = gone.output,
    output_type = gone.output_type,
    error = gone.error
from gone
where run.env_id = gone.env_id
  and run.id = gone.run_id
  and run.id between :first_id::uuid and :last_id::uuid
returning gone.run_id, gone.awaited, gone.batch_id, gone.slot_lane, gone.has_waited, gone.worker_id, gone.epoch,
    gone.line_id, gone.status = 'WAITING_TO_RESUME' and gone.waits_left = 0 as was_resuming,
    gone.status = 'PENDING' as was_pending, gone.is_linked;

-- name: finish_any :many Ended
-- End runs from the outside, whatever their state.
-- Moves: DELAYED, PENDING_VERSION, PENDING, EXECUTING, WAITING_TO_RESUME, RETRYING_AFTER_FAILURE -> CANCELED, CRASHED.
-- Moves: PENDING -> EXPIRED.
with gone as (
    delete from oncue.live as live
    where live.env_id = :env_id::int
      and live.run_id = any(:run_ids::uuid[])
    returning live.*
)
update oncue.runs as run
set status = :status::oncue.run_status,
    version = coalesce(gone.version, run.version),
    epoch = gone.epoch,
    attempts = case when gone.started_at is null then 0 else gone.attempt end,
    started_at = gone.started_at,
    finished_at = oncue.now(),
    compute_ms = coalesce(run.compute_ms, 0),
    error = :error::text
from gone
where run.env_id = :env_id::int
  and run.id = gone.run_id
returning gone.run_id, gone.awaited, gone.batch_id, gone.slot_lane, gone.has_waited, gone.worker_id, gone.epoch,
    gone.line_id, gone.status = 'WAITING_TO_RESUME' and gone.waits_left = 0 as was_resuming,
    gone.status = 'PENDING' as was_pending, gone.is_linked;

-- name: recorded_before :many RunId
-- Of outcomes that found no run to end: those that had been recorded by the same execution, so nothing was lost.
select run.id as run_id
from unnest(:run_ids::uuid[], :epochs::int[]) as told(run_id, epoch)
join oncue.runs as run on run.env_id = :env_id::int and run.id = told.run_id
where run.epoch = told.epoch
  and run.status not in ('CANCELED', 'EXPIRED');

-- name: count_ended :many BatchDone
-- Count ended runs into their batches; returns the batches that are thereby done.
with ended as (
    select batch.env_id, batch.id, added.runs
    from unnest(:batches::uuid[], :counts::int[]) as added(id, runs)
    join oncue.batches as batch on batch.env_id = :env_id::int and batch.id = added.id
    order by batch.id
    for update of batch
)
update oncue.batches as batch
set ended = batch.ended + ended.runs,
    finished_at = case
        when batch.finished_at is null and batch.sealed_at is not null and batch.ended + ended.runs = batch.run_count
        then oncue.now()
        else batch.finished_at
    end
from ended
where batch.env_id = ended.env_id
  and batch.id = ended.id
returning batch.id, batch.finished_at is not null and batch.aborted is null as done;
