"""Embedded PostgreSQL: a server of our own in a folder, for laptops and tests."""

from oncue.store.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
