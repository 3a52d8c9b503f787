-- Moments that have passed are forgotten once the run that waited for them is gone. Beside them stand tokens, settled ones
-- too, as many as there ever were.
create index waitpoints_moments_settled on oncue.waitpoints (env_id, parent_id)
where not is_token and settled_at is not null;
