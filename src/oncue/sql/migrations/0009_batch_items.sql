-- An item that stands for another run is asked for by its own id as well.
create unique index batch_links_item on oncue.batch_links (env_id, item_id);
