-- Which tasks the creation of a batch named, so that its idempotency key does not stand for a batch of others.

-- SHA-256; null: it named none.
alter table oncue.batches add column tasks_hash bytea;
