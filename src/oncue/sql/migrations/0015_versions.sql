-- A run that started under a version of the code goes on under it, and so does one that asks for a version: as with
-- regions, a task is a row of its own for each version that announced it.

alter table oncue.tasks
    -- Empty for runs that have not started under a version.
    add column version text not null default '',
    drop constraint tasks_env_id_slug_region_key,
    add constraint tasks_env_id_slug_region_version_key unique (env_id, slug, region, version);

alter table oncue.workers
    add column version text;
