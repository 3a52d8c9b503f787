"""How we talk to PostgreSQL; the only importer of the driver."""
