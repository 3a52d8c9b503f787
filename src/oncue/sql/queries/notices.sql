-- name: tell_settled :none
-- Tell the workers of some runs which waits are over that they have not been told of.
with over as (
    update oncue.waits as wait
    set noticed = true
    from oncue.live as live
    where wait.env_id = :env_id::int
      and wait.run_id = any(:run_ids::uuid[])
      and wait.settled_at is not null
      and not wait.noticed
      and live.env_id = wait.env_id
      and live.run_id = wait.run_id
      and live.worker_id is not null
    returning wait.run_id, wait.target_id, wait.is_batch, wait.is_waitpoint, live.worker_id, live.epoch
)
insert into oncue.notices (env_id, worker_id, run_id, epoch, kind, target_id, resumes)
select
    :env_id::int, over.worker_id, over.run_id, over.epoch,
    case when over.is_batch then 'batch' when over.is_waitpoint then 'waitpoint' else 'run' end, over.target_id, :resumes::boolean
from over;

-- name: tell_stop :none
-- Tell workers to stop runs that they still execute.
insert into oncue.notices (env_id, worker_id, run_id, epoch, kind, reason)
select :env_id::int, stopped.worker_id, stopped.run_id, stopped.epoch, 'stop', :reason::text
from unnest(:run_ids::uuid[], :workers::uuid[], :epochs::int[]) as stopped(run_id, worker_id, epoch);

-- name: acknowledge :none
-- Drop notices that the worker has acted upon.
delete from oncue.notices as notice
where notice.worker_id = :worker_id::uuid
  and notice.env_id = :env_id::int
  and notice.id = any(:ids::bigint[]);

-- name: waiting_notices :many NoticeRow
-- A worker's notices, oldest first, with the result or state of what they speak of; so many that
-- their results stay below a size, but at least one.
with waiting as (
    select
        notice.id,
        notice.run_id,
        notice.epoch,
        notice.kind,
        notice.target_id,
        notice.resumes,
        notice.reason,
        child.task,
        child.status::text as status,
        coalesce(child.output, waitpoint.output) as output,
        coalesce(child.output_type, waitpoint.output_type) as output_type,
        child.error,
        batch.run_count,
        batch.aborted,
        coalesce(waitpoint.timed_out, false) as timed_out,
        coalesce(sum(octet_length(coalesce(child.output, waitpoint.output))) over (
            order by notice.id rows between unbounded preceding and 1 preceding
        ), 0) as bytes_before
    from oncue.notices as notice
    left join oncue.runs as child
        on notice.kind = 'run' and child.env_id = notice.env_id and child.id = notice.target_id
    left join oncue.batches as batch
        on notice.kind = 'batch' and batch.env_id = notice.env_id and batch.id = notice.target_id
    left join oncue.waitpoints as waitpoint
        on notice.kind = 'waitpoint' and waitpoint.env_id = notice.env_id and waitpoint.id = notice.target_id
    where notice.worker_id = :worker_id::uuid
      and notice.env_id = :env_id::int
    order by notice.id
    limit :limit::int
)
select waiting.id, waiting.run_id, waiting.epoch, waiting.kind, waiting.target_id, waiting.resumes, waiting.reason,
    waiting.task, waiting.status, waiting.output, waiting.output_type, waiting.error, waiting.run_count, waiting.aborted,
    waiting.timed_out
from waiting
where waiting.bytes_before < :max_bytes::bigint
order by waiting.id;
