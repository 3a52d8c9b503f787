-- What public access tokens are signed with, and which of those that count once have been used.

create table oncue.signing_keys (
    -- Stands in the head of every token that was signed with the key.
    kid text primary key,
    -- In clear, unlike secret keys: a signature can be checked with nothing else.
    secret bytea not null check (length(secret) >= 32),
    created_at timestamptz not null default oncue.now(),
    -- From then on it signs nothing new; tokens that it has signed count until they expire.
    retired_at timestamptz
);

-- One key signs.
create unique index signing_keys_current on oncue.signing_keys ((true)) where retired_at is null;

create table oncue.one_time_tokens (
    env_id int not null references oncue.environments,
    -- SHA-256 of the token.
    hash bytea not null check (length(hash) = 32),
    -- Of the request that used it: delivered again, it is no second use.
    request_key text,
    used_at timestamptz not null default oncue.now(),
    -- The batch that it made, which it may fill.
    batch_id uuid,
    -- The token counts no longer, so that nothing has to be remembered.
    expires_at timestamptz not null,
    primary key (env_id, hash)
);

create index one_time_tokens_expired on oncue.one_time_tokens (expires_at);

-- A token may read the runs of a batch, those too that items stand for and that have ended long ago.
create index batch_links_run on oncue.batch_links (env_id, run_id);
drop index oncue.batch_links_open;
