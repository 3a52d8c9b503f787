-- name: authenticate :maybe KeyHolder
-- A key, and the environment that it opens.
select key.id as key_id, environment.id, environment.slug, environment.kind
from oncue.secret_keys as key
join oncue.environments as environment on environment.id = key.env_id
where key.hash = :hash::bytea
  and key.revoked_at is null;

-- name: in_force :maybe KeyHolder
-- A key by its id, and the environment that it opens.
select key.id as key_id, environment.id, environment.slug, environment.kind
from oncue.secret_keys as key
join oncue.environments as environment on environment.id = key.env_id
where key.id = :id::int
  and key.revoked_at is null;

-- name: ensure_project :one ProjectId
-- Make a project unless it is there.
insert into oncue.projects as project (ref, name)
values (:ref::text, :name::text)
on conflict (ref) do update
set ref = excluded.ref
returning project.id;

-- name: ensure_environments :none
-- Make a project's environments unless they are there.
insert into oncue.environments (project_id, slug, kind)
select :project_id::int, told.slug, told.kind
from unnest(:slugs::text[], :kinds::text[]) as told(slug, kind)
on conflict (project_id, slug) do nothing;

-- name: environments :many Environment
-- All environments, oldest first.
select environment.id, environment.slug, environment.kind
from oncue.environments as environment
order by environment.id;

-- name: create_key :maybe KeyId
-- Store a key; one that is known already keeps its row.
insert into oncue.secret_keys as key (env_id, name, hash, hint)
select environment.id, :name::text, :hash::bytea, :hint::text
from oncue.environments as environment
where environment.slug = :environment::text
order by environment.id
limit 1
on conflict (hash) do update
set hash = excluded.hash
returning key.id;

-- name: list_keys :many KeyRow
-- All keys, newest first.
select key.id, environment.slug as environment, key.name, key.hint, key.created_at, key.revoked_at
from oncue.secret_keys as key
join oncue.environments as environment on environment.id = key.env_id
order by key.id desc;

-- name: revoke_key :maybe KeyId
-- Take a key out of force.
update oncue.secret_keys as key
set revoked_at = oncue.now()
where key.id = :id::int
  and key.revoked_at is null
returning key.id;

-- name: storages :many Storage
-- Where objects of environments are, and what signs their addresses; derived, so that neither tells of the other, nor
-- of what signs anything else.
select
    environment.id as env_id,
    environment.slug || '-' || left(encode(sha256('place'::bytea || environment.callback_secret), 'hex'), 20) as place,
    sha256('objects'::bytea || environment.callback_secret) as secret
from oncue.environments as environment
order by environment.id;
