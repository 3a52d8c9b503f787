-- name: exists :many RunId
-- Which of these runs there are.
select run.id as run_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = any(:run_ids::uuid[]);

-- name: family :many Relative
-- Runs in progress among these and all that they triggered.
with recursive family as (
    select live.run_id, live.line_id, live.status
    from oncue.live as live
    where live.env_id = :env_id::int
      and live.run_id = any(:run_ids::uuid[])
    union
    select child.run_id, child.line_id, child.status
    from family
    join oncue.live as child on child.env_id = :env_id::int and child.parent_id = family.run_id
)
select family.run_id, family.line_id, family.status = 'PENDING' as is_pending
from family
order by family.run_id;
