-- Queues take turns as well, so that one with many keys is no more than one among those without. Within its turn the
-- line goes on that has waited longest.

alter table oncue.lines
    -- The lane's, so that a claim can go from one queue to the next.
    add column queue_id int;

update oncue.lines as line
set queue_id = lane.queue_id
from oncue.lanes as lane
where lane.id = line.lane_id;

alter table oncue.lines
    alter column queue_id set not null;

create index lines_queue on oncue.lines (env_id, task_id, queue_id, served) where eligible;

-- When a queue last got a turn. Apart from the queue itself, which others lock for as long as they trigger; and no claim
-- waits for another one here: whoever finds the row locked leaves it.
create table oncue.queue_turns (
    queue_id int primary key references oncue.queues on delete cascade,
    served bigint not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

insert into oncue.queue_turns (queue_id)
select queue.id
from oncue.queues as queue;

-- The first number is used up: lines made before any turn was given would share it with the first line that gets one.
select nextval('oncue.turns');
