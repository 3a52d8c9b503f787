-- A run whose task no worker knew when it was triggered, and whose caller named no queue: it gets the task's own queue
-- when the task is announced. Until then `queue` holds the one that a task has which declares none. Its machine is null
-- for as long, unless the caller named one.
alter table oncue.runs
    add column is_queue_open boolean not null default false;
