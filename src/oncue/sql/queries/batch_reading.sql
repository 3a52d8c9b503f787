-- name: results :many FinishedRun
-- How runs of a batch ended, in item order; so many that their outputs stay below a size, but at least one.
with ended as (
    select
        run.id, run.task, run.status::text as status, run.output, run.output_type, run.error,
        coalesce(sum(octet_length(run.output)) over (
            order by run.id rows between unbounded preceding and 1 preceding
        ), 0) as bytes_before
    from oncue.runs as run
    where run.env_id = :env_id::int
      and run.id between :first_id::uuid and :last_id::uuid
      -- A caller may have minted an id that lies among them.
      and run.batch_id = :batch_id::uuid
)
select ended.id, ended.task, ended.status, ended.output, ended.output_type, ended.error
from ended
where ended.bytes_before < :max_bytes::bigint
order by ended.id;
