-- name: results :many FinishedRun
-- How items of a batch ended, in item order: those asked for, as far as they fit into :most_bytes, at least one.
-- An item whose run is not there has a row all the same, so that the rows of a page have no gaps.
with items as (
    select
        item.position, item.id, run.task, run.status, run.output, run.output_type, run.error,
        sum(coalesce(octet_length(run.output), 0) + coalesce(octet_length(run.error), 0))
            over (order by item.position rows unbounded preceding) as bytes
    from oncue.batches as batch
    cross join unnest(:item_ids::uuid[]) with ordinality as item (id, position)
    left join oncue.runs as run
        on run.env_id = batch.env_id
        and run.id = item.id
        and run.id between :first_id::uuid and :last_id::uuid
        -- A caller may have minted an id within this range for a run of its own.
        and run.batch_id = batch.id
    where batch.env_id = :env_id::int
      and batch.id = :batch_id::uuid
      and :after::int + item.position <= batch.run_count
)
select items.id, items.task, items.status::text as status, items.output, items.output_type, items.error
from items
where items.bytes <= :most_bytes::bigint
   or items.position = 1
order by items.position;
