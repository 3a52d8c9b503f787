-- A run that waits need not be held by a worker: one that was unloaded is in nobody's memory, and starts again from the
-- top as soon as something that it waits for is there.

alter table oncue.live
    drop constraint live_check,
    add constraint live_check check (case status
        when 'DELAYED' then due_at is not null and worker_id is null
        when 'RETRYING_AFTER_FAILURE' then due_at is not null and worker_id is null
        when 'PENDING_VERSION' then line_id is null and worker_id is null
        when 'PENDING' then line_id is not null and worker_id is null and due_at is null
        when 'EXECUTING' then worker_id is not null and line_id is not null and waits_left = 0
        when 'WAITING_TO_RESUME' then line_id is not null
    end);
