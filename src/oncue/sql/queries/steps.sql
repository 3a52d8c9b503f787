-- name: record :none
-- Keep the result of a step; one that was kept before stays.
insert into oncue.steps (env_id, run_id, attempt, call_key, output)
values (:env_id::int, :run_id::uuid, :attempt::smallint, :call_key::text, :output::text)
on conflict (env_id, run_id, attempt, call_key) do nothing;

-- name: recall :maybe StepRow
-- The result of a step that this attempt has taken before.
select step.output
from oncue.steps as step
where step.env_id = :env_id::int
  and step.run_id = :run_id::uuid
  and step.attempt = :attempt::smallint
  and step.call_key = :call_key::text;

-- name: forget :one Forgotten
-- Drop at most :limit results of runs that have ended.
with gone as (
    delete from oncue.steps as step
    where (step.env_id, step.run_id, step.attempt, step.call_key) in (
        select kept.env_id, kept.run_id, kept.attempt, kept.call_key
        from oncue.steps as kept
        where not exists (
            select
            from oncue.live as live
            where live.env_id = kept.env_id and live.run_id = kept.run_id
        )
        limit :limit::int
    )
    returning step.run_id
)
select count(*)::int as count
from gone;
