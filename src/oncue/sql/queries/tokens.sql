-- name: free_key :none
-- Take an idempotency key from a token whose time with it is over.
update oncue.waitpoints as waitpoint
set idempotency_key = null
where waitpoint.env_id = :env_id::int
  and waitpoint.idempotency_key = :key::text
  and waitpoint.key_expires_at <= oncue.now();

-- name: find_by_key :maybe TokenId
-- The token that has an idempotency key.
select waitpoint.id
from oncue.waitpoints as waitpoint
where waitpoint.env_id = :env_id::int
  and waitpoint.idempotency_key = :key::text;

-- name: complete :none
-- Give a token that is locked its output.
update oncue.waitpoints as waitpoint
set settled_at = oncue.now(),
    output = :output::text,
    output_type = :output_type::text
where waitpoint.env_id = :env_id::int
  and waitpoint.id = :id::uuid;

-- name: show :maybe TokenRow
-- A token as clients see it.
select waitpoint.id, waitpoint.created_at, waitpoint.settled_at, waitpoint.due_at, waitpoint.timed_out, waitpoint.output,
    waitpoint.output_type, waitpoint.tags, waitpoint.idempotency_key, waitpoint.key_expires_at
from oncue.waitpoints as waitpoint
where waitpoint.env_id = :env_id::int
  and waitpoint.id = :id::uuid
  and waitpoint.is_token;

-- name: list_tokens :many TokenRow
-- A page of tokens, newest first; :after is the last one of the page before.
select waitpoint.id, waitpoint.created_at, waitpoint.settled_at, waitpoint.due_at, waitpoint.timed_out, waitpoint.output,
    waitpoint.output_type, waitpoint.tags, waitpoint.idempotency_key, waitpoint.key_expires_at
from oncue.waitpoints as waitpoint
where waitpoint.env_id = :env_id::int
  and waitpoint.is_token
  and (:statuses::text[] is null or case
      when waitpoint.settled_at is null then 'WAITING'
      when waitpoint.timed_out then 'TIMED_OUT'
      else 'COMPLETED'
  end = any(:statuses::text[]))
  and (:tags::text[] is null or waitpoint.tags && :tags::text[])
  and (:keys::text[] is null or waitpoint.idempotency_key = any(:keys::text[]))
  and (:created_from::timestamptz is null or waitpoint.created_at >= :created_from::timestamptz)
  and (:created_to::timestamptz is null or waitpoint.created_at <= :created_to::timestamptz)
  and (:period::interval is null or waitpoint.created_at >= oncue.now() - :period::interval)
  and (:after::uuid is null or waitpoint.id < :after::uuid)
order by waitpoint.id desc
limit :size::int;

-- name: list_tokens_above :many TokenRow
-- The page of tokens above a cursor, oldest first.
select waitpoint.id, waitpoint.created_at, waitpoint.settled_at, waitpoint.due_at, waitpoint.timed_out, waitpoint.output,
    waitpoint.output_type, waitpoint.tags, waitpoint.idempotency_key, waitpoint.key_expires_at
from oncue.waitpoints as waitpoint
where waitpoint.env_id = :env_id::int
  and waitpoint.is_token
  and (:statuses::text[] is null or case
      when waitpoint.settled_at is null then 'WAITING'
      when waitpoint.timed_out then 'TIMED_OUT'
      else 'COMPLETED'
  end = any(:statuses::text[]))
  and (:tags::text[] is null or waitpoint.tags && :tags::text[])
  and (:keys::text[] is null or waitpoint.idempotency_key = any(:keys::text[]))
  and (:created_from::timestamptz is null or waitpoint.created_at >= :created_from::timestamptz)
  and (:created_to::timestamptz is null or waitpoint.created_at <= :created_to::timestamptz)
  and (:period::interval is null or waitpoint.created_at >= oncue.now() - :period::interval)
  and waitpoint.id > :before::uuid
order by waitpoint.id
limit :size::int;

-- name: callback_secret :one CallbackSecret
-- What signs the callback addresses of an environment's tokens.
select environment.callback_secret
from oncue.environments as environment
where environment.id = :env_id::int;

-- name: find_called_back :maybe CalledBack
-- The environment of a token, and what signs its callback address. Whoever asks has no key: the address is one.
select environment.id as env_id, environment.callback_secret
from oncue.environments as environment
join oncue.waitpoints as waitpoint on waitpoint.env_id = environment.id and waitpoint.id = :id::uuid
where waitpoint.is_token;
