-- name: results :many FinishedRun
-- How runs of a batch ended, in item order; so many that their outputs stay below a size, but at least one.
with item as (
    select run.id as item_id, run.*
    from oncue.runs as run
    where run.env_id = :env_id::int
      and run.id between :first_id::uuid and :last_id::uuid
      -- A caller may have minted an id that lies among them.
      and run.batch_id = :batch_id::uuid
    union all
    -- Items that stand for a run of another call.
    select link.item_id, run.*
    from oncue.batch_links as link
    join oncue.runs as run on run.env_id = link.env_id and run.id = link.run_id
    where link.env_id = :env_id::int
      and link.batch_id = :batch_id::uuid
      and link.item_id between :first_id::uuid and :last_id::uuid
),
ended as (
    select
        item.item_id, item.id, item.task, item.status::text as status, item.output, item.output_type, item.error,
        coalesce(sum(octet_length(item.output)) over (
            order by item.item_id rows between unbounded preceding and 1 preceding
        ), 0) as bytes_before
    from item
)
select ended.id, ended.task, ended.status, ended.output, ended.output_type, ended.error
from ended
where ended.bytes_before < :max_bytes::bigint
order by ended.item_id;
