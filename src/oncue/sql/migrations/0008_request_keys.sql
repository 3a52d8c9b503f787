-- A request may turn out to mean a run that was there before, by its idempotency or debounce key. Delivered again it
-- means that run still, whatever has become of it and of the key, and has the same answer.
alter table oncue.request_keys
    add column is_cached boolean not null default false;
