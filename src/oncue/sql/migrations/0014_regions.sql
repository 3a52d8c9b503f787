-- A run that asks for a region goes to workers of that region alone. A task is a row of its own for each region in which
-- a worker has announced it, beside the one for runs that ask for none; a line belongs to such a row, and a worker is
-- given the lines of the rows that it announced.

alter table oncue.tasks
    -- Empty for runs that ask for no region: equality finds a row by its index.
    add column region text not null default '',
    drop constraint tasks_env_id_slug_key,
    add constraint tasks_env_id_slug_region_key unique (env_id, slug, region);

alter table oncue.workers
    add column region text;
