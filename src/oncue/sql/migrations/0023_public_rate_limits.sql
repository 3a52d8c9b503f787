-- Public access tokens have buckets of their own. Made anew, since what it held is worth no more than full buckets.

drop table oncue.rate_limits;

create unlogged table oncue.rate_limits (
    env_id int not null,
    kind text not null check (kind in ('requests', 'public_requests', 'batch_items')),
    -- SHA-256 of the public access token whose bucket it is; empty: the environment's.
    token bytea not null check ((length(token) = 32) = (kind = 'public_requests')),
    -- At `at`; below zero where more was taken at once than a bucket holds.
    tokens double precision not null,
    at timestamptz not null,
    -- By the last that asked; here so that the statement that takes can say what it took.
    taken double precision not null,
    primary key (env_id, kind, token)
)
with (fillfactor = 50);
