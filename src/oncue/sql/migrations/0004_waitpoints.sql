-- Waits for something other than runs: a moment, or a completion from outside.

-- A moment that a run waits for, or a token that somebody completes.
create table oncue.waitpoints (
    env_id int not null,
    id uuid not null,
    is_token boolean not null,
    -- When the moment is there, or the token times out; null: a token that never does.
    due_at timestamptz,
    settled_at timestamptz,
    -- A token whose time ran out.
    timed_out boolean not null default false,
    output text,
    output_type text,
    tags text[] not null default '{}',
    idempotency_key text,
    key_expires_at timestamptz,
    -- The call that made it, so that a run which starts again finds it.
    parent_id uuid,
    parent_attempt smallint,
    call_key text,
    created_at timestamptz not null default oncue.now(),
    primary key (env_id, id)
);

create index waitpoints_due on oncue.waitpoints (due_at) where settled_at is null and due_at is not null;
create index waitpoints_children on oncue.waitpoints (env_id, parent_id) where parent_id is not null;
create unique index waitpoints_key on oncue.waitpoints (env_id, idempotency_key) where idempotency_key is not null;

-- What signs the callback addresses of an environment's tokens.
alter table oncue.environments
    add column callback_secret bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());

alter table oncue.waits
    add column is_waitpoint boolean not null default false;

alter table oncue.notices
    drop constraint notices_kind_check,
    add constraint notices_kind_check check (kind in ('run', 'batch', 'stop', 'waitpoint'));
