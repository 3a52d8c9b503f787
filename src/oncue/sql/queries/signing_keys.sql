-- name: ensure :none
-- Make the first key, unless there is one that signs.
insert into oncue.signing_keys (kid, secret)
values (:kid::text, :secret::bytea)
on conflict ((true)) where retired_at is null do nothing;

-- name: lock :none
-- Let one rotation at a time go on.
lock table oncue.signing_keys in share row exclusive mode;

-- name: retire :none
-- Let the key that signs sign nothing new.
update oncue.signing_keys as key
set retired_at = oncue.now()
where key.retired_at is null;

-- name: make :none
-- Make the key that signs from now on.
insert into oncue.signing_keys (kid, secret)
values (:kid::text, :secret::bytea);

-- name: in_force :many SigningKey
-- The key that signs, and those whose tokens may not have expired yet, newest first.
select key.kid, key.secret, key.retired_at is null as signs
from oncue.signing_keys as key
where key.retired_at is null
   or key.retired_at > oncue.now() - :longest::interval
order by key.retired_at desc nulls first;

-- name: forget :none
-- Drop keys that no token can have been signed with that counts.
delete from oncue.signing_keys as key
where key.retired_at <= oncue.now() - :longest::interval;
