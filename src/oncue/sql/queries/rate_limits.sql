-- name: take :one Bucket
-- Fill a bucket up to the moment and take tokens: none unless :enough are there, then :least or more, :most if there.
-- Who began to wait for the row first may get it last, so its moment never goes back; but one that is further ahead
-- than that was set by a clock that was wrong, and would keep the bucket from being filled.
insert into oncue.rate_limits as bucket (env_id, kind, token, tokens, at, taken)
select :env_id::int, :kind::text, :token::bytea, :capacity::float8 - fresh.taken, oncue.now(), fresh.taken
from (select greatest(:least::float8, least(:most::float8, :capacity::float8)) as taken) as fresh
on conflict (env_id, kind, token) do update
set (tokens, at, taken) = (
    select filled.tokens - took.amount, filled.at, took.amount
    from (
        select
            least(
                :capacity::float8,
                bucket.tokens + :per_second::float8 * greatest(0, extract(epoch from oncue.now() - bucket.at))::float8
            ) as tokens,
            least(greatest(bucket.at, oncue.now()), oncue.now() + interval '10 seconds') as at
    ) as filled
    cross join lateral (
        select case
            when filled.tokens >= :enough::float8
                then greatest(:least::float8, least(:most::float8, floor(filled.tokens)))
            else 0
        end as amount
    ) as took
)
returning bucket.tokens, bucket.at, bucket.taken;

-- name: give_back :none
-- Put tokens back that were taken a moment ago and not used.
update oncue.rate_limits as bucket
set tokens = least(:capacity::float8, bucket.tokens + :amount::float8)
where bucket.env_id = :env_id::int
  and bucket.kind = :kind::text
  and bucket.token = :token::bytea;

-- name: forget :none
-- Drop the buckets of public access tokens that nobody has used for a day: as good as full.
delete from oncue.rate_limits as bucket
where bucket.token <> ''
  and bucket.at < oncue.now() - interval '1 day';
