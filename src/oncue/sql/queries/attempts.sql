-- name: failed_attempts :many FailedAttempt
-- What decides whether failed attempts are followed by another: the run's own option and its task's declaration.
select live.run_id, live.attempt::int as attempt, run.max_attempts::int as max_attempts, run.machine,
    task.retry
from oncue.live as live
join oncue.runs as run on run.env_id = live.env_id and run.id = live.run_id
left join oncue.tasks as task on task.env_id = live.env_id and task.slug = run.task and task.region = '' and task.version = ''
    and task.held_to = ''
where live.env_id = :env_id::int
  and live.run_id = any(:run_ids::uuid[])
  and live.worker_id = :worker_id::uuid;

-- name: retry :many Released
-- Let failed runs wait for their next attempt; they keep their place in line.
-- Moves: EXECUTING, WAITING_TO_RESUME -> RETRYING_AFTER_FAILURE.
with failed as (
    select live.env_id, live.run_id, live.slot_lane, live.has_waited, failure.wait, failure.ran_ms, failure.machine,
        live.status = 'WAITING_TO_RESUME' and live.waits_left = 0 as was_resuming
    from unnest(:run_ids::uuid[], :epochs::int[], :waits::interval[], :ran_ms::bigint[], :machines::text[])
        as failure(run_id, epoch, wait, ran_ms, machine)
    join oncue.live as live on live.env_id = :env_id::int and live.run_id = failure.run_id
    where live.epoch = failure.epoch
      and live.worker_id = :worker_id::uuid
      and live.status in ('EXECUTING', 'WAITING_TO_RESUME')
    order by live.run_id
    for update of live
),
billed as (
    update oncue.runs as run
    set compute_ms = coalesce(run.compute_ms, 0) + failed.ran_ms,
        machine = coalesce(failed.machine, run.machine)
    from failed
    where run.env_id = failed.env_id
      and run.id = failed.run_id
)
update oncue.live as live
set status = 'RETRYING_AFTER_FAILURE',
    attempt = live.attempt + 1,
    worker_id = null,
    slot_lane = null,
    waits_left = 0,
    has_waited = false,
    due_at = oncue.now() + failed.wait
from failed
where live.env_id = failed.env_id
  and live.run_id = failed.run_id
returning live.run_id, live.line_id, failed.slot_lane, failed.has_waited, failed.was_resuming;

-- name: hand_back :many Released
-- Put runs back in line that their worker returns unfinished; it costs no attempt.
-- Moves: EXECUTING, WAITING_TO_RESUME -> PENDING.
with returned as (
    select live.env_id, live.run_id, live.slot_lane, live.has_waited,
        live.status = 'WAITING_TO_RESUME' and live.waits_left = 0 as was_resuming
    from unnest(:run_ids::uuid[], :epochs::int[]) as returned(run_id, epoch)
    join oncue.live as live on live.env_id = :env_id::int and live.run_id = returned.run_id
    where live.epoch = returned.epoch
      and live.worker_id = :worker_id::uuid
      and live.status in ('EXECUTING', 'WAITING_TO_RESUME')
    order by live.run_id
    for update of live
)
update oncue.live as live
set status = 'PENDING',
    worker_id = null,
    slot_lane = null,
    waits_left = 0,
    has_waited = false
from returned
where live.env_id = returned.env_id
  and live.run_id = returned.run_id
returning live.run_id, live.line_id, returned.slot_lane, returned.has_waited, returned.was_resuming;
