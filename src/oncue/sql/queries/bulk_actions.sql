-- name: choose :none
-- Choose the runs that match, as they stand now.
insert into oncue.bulk_runs (env_id, action_id, run_id)
select run.env_id, :action_id::uuid, run.id
from oncue.runs_now as run
where run.env_id = :env_id::int
  and (:statuses::text[] is null or run.status = any(:statuses::text[]))
  and (:tasks::text[] is null or run.task = any(:tasks::text[]))
  and (:tags::text[] is null or run.tags && :tags::text[])
  and (:queues::text[] is null or run.queue = any(:queues::text[]))
  and (:versions::text[] is null or run.version = any(:versions::text[]))
  and (:machines::text[] is null or run.machine = any(:machines::text[]))
  and (:regions::text[] is null or run.region = any(:regions::text[]))
  and run.id between :lowest::uuid and :highest::uuid
  and (:bulk_action::uuid is null or exists (
      select
      from oncue.bulk_runs as done
      where done.env_id = run.env_id
        and done.action_id = :bulk_action::uuid
        and done.result_id = run.id
  ))
  and (:is_test::boolean is null or run.is_test = :is_test::boolean)
  and (:created_from::timestamptz is null or run.created_at >= :created_from::timestamptz)
  and (:created_to::timestamptz is null or run.created_at <= :created_to::timestamptz)
  and (:period::interval is null or run.created_at >= oncue.now() - :period::interval);

-- name: choose_in_progress :none
-- Choose those of the runs in progress that match, of which there are few beside those that have ended.
insert into oncue.bulk_runs (env_id, action_id, run_id)
select run.env_id, :action_id::uuid, run.id
from oncue.live as live
join oncue.runs_now as run on run.env_id = live.env_id and run.id = live.run_id
where live.env_id = :env_id::int
  and (:statuses::text[] is null or run.status = any(:statuses::text[]))
  and (:tasks::text[] is null or run.task = any(:tasks::text[]))
  and (:tags::text[] is null or run.tags && :tags::text[])
  and (:queues::text[] is null or run.queue = any(:queues::text[]))
  and (:versions::text[] is null or run.version = any(:versions::text[]))
  and (:machines::text[] is null or run.machine = any(:machines::text[]))
  and (:regions::text[] is null or run.region = any(:regions::text[]))
  and run.id between :lowest::uuid and :highest::uuid
  and (:bulk_action::uuid is null or exists (
      select
      from oncue.bulk_runs as done
      where done.env_id = run.env_id
        and done.action_id = :bulk_action::uuid
        and done.result_id = run.id
  ))
  and (:is_test::boolean is null or run.is_test = :is_test::boolean)
  and (:created_from::timestamptz is null or run.created_at >= :created_from::timestamptz)
  and (:created_to::timestamptz is null or run.created_at <= :created_to::timestamptz)
  and (:period::interval is null or run.created_at >= oncue.now() - :period::interval);

-- name: choose_named :none
-- Choose runs by their ids, or by those of batch items that stand for them.
insert into oncue.bulk_runs (env_id, action_id, run_id)
select distinct :env_id::int, :action_id::uuid, coalesce(link.run_id, asked.run_id)
from unnest(:run_ids::uuid[]) as asked(run_id)
left join oncue.batch_links as link on link.env_id = :env_id::int and link.item_id = asked.run_id;

-- name: insert_action :none
-- Make an action for the runs that were chosen; one without any is done.
insert into oncue.bulk_actions (env_id, id, type, name, region, total, status, finished_at)
values (
    :env_id::int, :id::uuid, :type::text, :name::text, :region::text, :total::int,
    case when :total::int = 0 then 'COMPLETED' else 'PENDING' end,
    case when :total::int = 0 then oncue.now() end
);

-- name: show :maybe ActionRow
-- An action as it stands.
select action.id, action.type, action.name, action.status, action.created_at, action.finished_at, action.total,
    action.succeeded, action.failed
from oncue.bulk_actions as action
where action.env_id = :env_id::int
  and action.id = :id::uuid;

-- name: list_actions :many ActionRow
-- A page of actions, newest first; :after is the last one of the page before.
select action.id, action.type, action.name, action.status, action.created_at, action.finished_at, action.total,
    action.succeeded, action.failed
from oncue.bulk_actions as action
where action.env_id = :env_id::int
  and (:after::uuid is null or action.id < :after::uuid)
order by action.id desc
limit :size::int;

-- name: list_actions_above :many ActionRow
-- The page of actions above a cursor, oldest first.
select action.id, action.type, action.name, action.status, action.created_at, action.finished_at, action.total,
    action.succeeded, action.failed
from oncue.bulk_actions as action
where action.env_id = :env_id::int
  and action.id > :before::uuid
order by action.id
limit :size::int;

-- name: abort :none
-- End an action that goes on; waits for the group of runs that is at work.
update oncue.bulk_actions as action
set status = 'ABORTED',
    finished_at = oncue.now()
where action.env_id = :env_id::int
  and action.id = :id::uuid
  and action.status = 'PENDING';
