-- A run that is held to a machine goes to workers that have room for it. As with regions and versions, a task is a row of
-- its own for each machine that its runs are held to, made when a run first needs it: a line belongs to such a row, and a
-- claim leaves out the rows whose machine does not fit.

alter table oncue.tasks
    -- Whether each of its runs has a process of its own.
    add column isolated boolean not null default false,
    -- Empty for runs that are held to none. What else is declared counts in the row without a machine.
    add column held_to text not null default '',
    drop constraint tasks_env_id_slug_region_version_key,
    add constraint tasks_env_id_slug_region_version_held_to_key unique (env_id, slug, region, version, held_to);

create index tasks_held on oncue.tasks (env_id) where held_to <> '';

alter table oncue.workers
    -- What it has for runs that are held to machines; null where it did not say, which is nothing.
    add column cpus double precision,
    add column memory bigint;
