-- name: find_targets :maybe Family
-- A run with its parent and its root.
select run.id, run.parent_id, run.root_id
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: hold_run :maybe RunState
-- Whether a run has ended; it does not end before this transaction does.
select run.status is not null as has_ended
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid
for share;

-- name: register :maybe RunId
-- Let a run have a stream; returns the run where that is new.
insert into oncue.run_streams as stream (env_id, run_id, key)
values (:env_id::int, :run_id::uuid, :key::text)
on conflict (env_id, run_id, key) do nothing
returning stream.run_id;

-- name: lock :one Chunks
-- Lock a stream; whoever appends sees what was there before.
select stream.chunks
from oncue.run_streams as stream
where stream.env_id = :env_id::int
  and stream.run_id = :run_id::uuid
  and stream.key = :key::text
for update;

-- name: append :many Number
-- Append chunks of a writer to a locked stream that are not there yet.
insert into oncue.stream_chunks as chunk (env_id, run_id, key, number, writer, part, data)
select
    :env_id::int, :run_id::uuid, :key::text, :chunks::bigint - 1 + row_number() over (order by new.part), :writer::text,
    new.part, new.data
from unnest(:parts::bigint[], :data::text[]) as new(part, data)
where not exists (
    select
    from oncue.stream_chunks as known
    where known.env_id = :env_id::int
      and known.run_id = :run_id::uuid
      and known.key = :key::text
      and known.writer = :writer::text
      and known.part = new.part
)
returning chunk.number;

-- name: count_known :one Known
-- How many of some chunks a writer has brought already.
select count(*) as known
from oncue.stream_chunks as chunk
where chunk.env_id = :env_id::int
  and chunk.run_id = :run_id::uuid
  and chunk.key = :key::text
  and chunk.writer = :writer::text
  and chunk.part = any(:parts::bigint[]);

-- name: count :none
-- Count chunks into a locked stream.
update oncue.run_streams as stream
set chunks = stream.chunks + :added::bigint
where stream.env_id = :env_id::int
  and stream.run_id = :run_id::uuid
  and stream.key = :key::text;

-- name: last_part :one LastPart
-- The last chunk that a writer has brought; -1 where there is none.
select coalesce(max(chunk.part), -1) as part
from oncue.stream_chunks as chunk
where chunk.env_id = :env_id::int
  and chunk.run_id = :run_id::uuid
  and chunk.key = :key::text
  and chunk.writer = :writer::text;

-- name: read_tail :maybe Tail
-- How many chunks a stream has, and whether its run has ended; no row where there is no such run.
select run.status is not null as has_ended, coalesce(stream.chunks, 0) as chunks
from oncue.runs as run
left join oncue.run_streams as stream
    on stream.env_id = run.env_id and stream.run_id = run.id and stream.key = :key::text
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: read_chunks :many Chunk
-- Chunks from a number on, in order, until they are many or large. Bytes are counted and no characters: for that what is
-- not returned would have to be read.
select seen.number, seen.created_at, seen.data
from (
    select
        chunk.number, chunk.created_at, chunk.data,
        sum(octet_length(chunk.data)) over (order by chunk.number) - octet_length(chunk.data) as before
    from (
        select each.number, each.created_at, each.data
        from oncue.stream_chunks as each
        where each.env_id = :env_id::int
          and each.run_id = :run_id::uuid
          and each.key = :key::text
          and each.number >= :first::bigint
        order by each.number
        limit :limit::int
    ) as chunk
) as seen
where seen.before < :max_bytes::bigint
order by seen.number;

-- name: hold_run_alone :maybe RunState
-- Whether a run has ended; neither does it end nor is it sent anything else before this transaction is over.
select run.status is not null as has_ended
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid
for no key update;

-- name: count_sent :one Known
-- Whether an input stream has what was sent: 1 or 0.
select count(*) as known
from oncue.run_inputs as input
where input.env_id = :env_id::int
  and input.run_id = :run_id::uuid
  and input.key = :key::text
  and input.part = :part::text;

-- name: send :maybe Number
-- Append a value to an input stream of a run that is held alone; no row where it is there already.
insert into oncue.run_inputs as input (env_id, run_id, key, number, part, data)
select
    :env_id::int, :run_id::uuid, :key::text, coalesce(max(before.number) + 1, 0), :part::text, :data::text
from oncue.run_inputs as before
where before.env_id = :env_id::int
  and before.run_id = :run_id::uuid
  and before.key = :key::text
on conflict (env_id, run_id, key, part) do nothing
returning input.number;

-- name: read_input_tail :maybe Tail
-- How many values an input stream has, and whether its run has ended; no row where there is no such run.
select
    run.status is not null as has_ended,
    coalesce((
        select max(input.number) + 1
        from oncue.run_inputs as input
        where input.env_id = run.env_id
          and input.run_id = run.id
          and input.key = :key::text
    ), 0) as chunks
from oncue.runs as run
where run.env_id = :env_id::int
  and run.id = :run_id::uuid;

-- name: read_inputs :many Chunk
-- Values of an input stream from a number on, in order, until they are many or large.
select seen.number, seen.created_at, seen.data
from (
    select
        chunk.number, chunk.created_at, chunk.data,
        sum(octet_length(chunk.data)) over (order by chunk.number) - octet_length(chunk.data) as before
    from (
        select each.number, each.created_at, each.data
        from oncue.run_inputs as each
        where each.env_id = :env_id::int
          and each.run_id = :run_id::uuid
          and each.key = :key::text
          and each.number >= :first::bigint
        order by each.number
        limit :limit::int
    ) as chunk
) as seen
where seen.before < :max_bytes::bigint
order by seen.number;
