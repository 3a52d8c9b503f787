-- Only a run in line can expire, so the moment alone says which rows the index has. With the status in its condition,
-- the planner could not tell it from the index of lines wherever it believed that nothing was in line, and read them all.

drop index oncue.live_expiring;

alter table oncue.live
    add constraint live_expires_check check (expires_at is null or status = 'PENDING');

create index live_expiring on oncue.live (expires_at) where expires_at is not null;
