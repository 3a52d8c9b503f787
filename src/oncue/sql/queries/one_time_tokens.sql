-- name: take :many Used
-- Use tokens that nobody has used yet; waits for whoever is about to use the same one.
insert into oncue.one_time_tokens as token (env_id, hash, request_key, expires_at)
select :env_id::int, asked.hash, asked.request_key, asked.expires_at
from unnest(:hashes::bytea[], :request_keys::text[], :expire_at::timestamptz[])
    as asked(hash, request_key, expires_at)
order by asked.hash
on conflict (env_id, hash) do nothing
returning token.hash, token.request_key;

-- name: used :many Used
-- Which requests have used tokens; one of long ago is no longer known by its key.
select token.hash, case when token.used_at > oncue.now() - :within::interval then token.request_key end as request_key
from oncue.one_time_tokens as token
where token.env_id = :env_id::int
  and token.hash = any(:hashes::bytea[]);

-- name: bind :none
-- Remember the batch that a token has made.
update oncue.one_time_tokens as token
set batch_id = :batch_id::uuid
where token.env_id = :env_id::int
  and token.hash = :hash::bytea;

-- name: batch_of :maybe Made
-- The batch that a token has made.
select token.batch_id
from oncue.one_time_tokens as token
where token.env_id = :env_id::int
  and token.hash = :hash::bytea
  and token.batch_id is not null;

-- name: forget :none
-- Drop what is known of tokens that expired long ago. Not at once: whether one counts is judged by servers' clocks, and
-- a request that was let through may be on its way still.
delete from oncue.one_time_tokens as token
where token.expires_at < oncue.now() - interval '1 hour';
