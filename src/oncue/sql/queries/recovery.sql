-- name: environments_of_lost :many Environment
-- Environments in which the lease of a worker has run out.
select environment.id, environment.slug, environment.kind
from oncue.environments as environment
where environment.id in (
    select worker.env_id
    from oncue.workers as worker
    where worker.lease_until < oncue.now()
)
order by environment.id;

-- name: lost_workers :many LostWorker
-- Lock workers whose lease has run out, longest overdue first.
select worker.id, oncue.now() - worker.lease_until as overdue
from oncue.workers as worker
where worker.env_id = :env_id::int
  and worker.lease_until < oncue.now()
order by worker.lease_until
limit 20
for update skip locked;

-- name: hopeless :many HopelessRun
-- Of what these workers held: runs that had lost as many workers before as a run may.
select live.run_id
from oncue.live as live
where live.worker_id = any(:workers::uuid[])
  and live.env_id = :env_id::int
  and live.recoveries >= :recoveries::int
order by live.run_id
for update;

-- name: take_back :many HeldRun
-- Put back in line what these workers hold.
-- Moves: EXECUTING, WAITING_TO_RESUME -> PENDING.
with held as (
    select live.env_id, live.run_id, live.slot_lane, live.has_waited,
        live.status = 'WAITING_TO_RESUME' and live.waits_left = 0 as was_resuming
    from oncue.live as live
    where live.worker_id = any(:workers::uuid[])
      and live.env_id = :env_id::int
      and live.status in ('EXECUTING', 'WAITING_TO_RESUME')
    order by live.run_id
    for update
)
update oncue.live as live
set status = 'PENDING',
    worker_id = null,
    slot_lane = null,
    waits_left = 0,
    has_waited = false,
    recoveries = live.recoveries + :recoveries::int
from held
where live.env_id = held.env_id
  and live.run_id = held.run_id
returning live.run_id, live.line_id, held.slot_lane, held.has_waited, held.was_resuming;

-- name: take_unheld :many HeldRun
-- Put back in line what a worker was given and does not know of.
-- Moves: EXECUTING, WAITING_TO_RESUME -> PENDING.
with unheld as (
    select live.env_id, live.run_id, live.slot_lane, live.has_waited,
        live.status = 'WAITING_TO_RESUME' and live.waits_left = 0 as was_resuming
    from oncue.live as live
    where live.worker_id = :worker_id::uuid
      and live.env_id = :env_id::int
      and live.status in ('EXECUTING', 'WAITING_TO_RESUME')
      and live.run_id <> all(:holding::uuid[])
    order by live.run_id
    for update
)
update oncue.live as live
set status = 'PENDING',
    worker_id = null,
    slot_lane = null,
    waits_left = 0,
    has_waited = false
from unheld
where live.env_id = unheld.env_id
  and live.run_id = unheld.run_id
returning live.run_id, live.line_id, unheld.slot_lane, unheld.has_waited, unheld.was_resuming;

-- name: lock_worker :none
-- Wait for a worker's claims that are under way, and let no more begin.
select worker.id
from oncue.workers as worker
where worker.id = :id::uuid
  and worker.env_id = :env_id::int
for update;

-- name: find_orphans :many Orphan
-- Workers that are gone although runs are leased to them.
select live.worker_id, count(*)::int as runs
from oncue.live as live
where live.env_id = :env_id::int
  and live.worker_id is not null
  and not exists (select from oncue.workers as worker where worker.id = live.worker_id)
group by live.worker_id;

-- name: forget_workers :none
-- Drop workers that are gone, and what they had yet to be told.
with told as (
    delete from oncue.notices as notice
    where notice.worker_id = any(:workers::uuid[])
      and notice.env_id = :env_id::int
)
delete from oncue.workers as worker
where worker.env_id = :env_id::int
  and worker.id = any(:workers::uuid[]);
