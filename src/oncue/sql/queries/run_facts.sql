-- name: find :maybe RunFacts
-- What a run is known by besides its id.
select
    run.task,
    run.tags,
    array(
        select run.batch_id
        where run.batch_id is not null
        union
        select link.batch_id
        from oncue.batch_links as link
        where link.env_id = run.env_id
          and link.run_id = run.id
    ) as batches
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;
