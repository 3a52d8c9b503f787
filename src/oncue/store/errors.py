"""Errors of the store: what can go wrong between oncue and PostgreSQL, or the object store.

::

    OncueError
    ├── Unavailable                 (503 on the wire)
    │   ├── DatabaseUnavailable     PostgreSQL does not answer, or stopped answering
    │   └── ObjectsUnavailable      the object store does not answer, or refuses
    └── StoreError
        ├── ServerTooOld            PostgreSQL before 15
        ├── ObjectsMisconfigured    the setting names no object store, or one that cannot be opened
        ├── QueryError              a query file, its declaration and its rows do not agree
        ├── MigrationError
        │   ├── SchemaTooNew        the database was made by a newer oncue
        │   └── MigrationChanged    an applied migration is not the one in this package
        └── EmbeddedError           the PostgreSQL that oncue starts by itself
            ├── BinariesMissing     there is nothing to start
            ├── FolderInUse         another process runs a server on this folder
            ├── DataFolderUnusable  made by another PostgreSQL, or not ours to open
            └── StartFailed         PostgreSQL ended before it was ready

Each message says what was found and what to do next. None of them holds a password.
"""

from typing import ClassVar

from oncue.protocol.errors import OncueError, Unavailable


class DatabaseUnavailable(Unavailable):
    """PostgreSQL does not answer; send the request again later."""

    code: ClassVar[str] = "database_unavailable"


class ObjectsUnavailable(Unavailable):
    """The object store does not answer, or refuses; send the request again later."""

    code: ClassVar[str] = "objects_unavailable"


class StoreError(OncueError):
    """Root of what the store raises on purpose, apart from a database that is away."""

    code: ClassVar[str] = "store_error"


class ServerTooOld(StoreError):
    """The PostgreSQL server is older than oncue supports."""

    code: ClassVar[str] = "server_too_old"


class ObjectsMisconfigured(StoreError):
    """The setting names no object store, or one that cannot be opened."""

    code: ClassVar[str] = "objects_misconfigured"


class QueryError(StoreError):
    """A query file, its declaration in Python and the rows it returns do not agree."""

    code: ClassVar[str] = "query_error"


class MigrationError(StoreError):
    """The schema could not be brought up to date; nothing of the failing migration stays."""

    code: ClassVar[str] = "migration_error"


class SchemaTooNew(MigrationError):
    """The database was migrated by a newer oncue than this one."""

    code: ClassVar[str] = "schema_too_new"


class MigrationChanged(MigrationError):
    """A migration that this database has applied differs from the one in this package."""

    code: ClassVar[str] = "migration_changed"


class EmbeddedError(StoreError):
    """The PostgreSQL that oncue starts by itself cannot do what was asked."""

    code: ClassVar[str] = "embedded_error"


class BinariesMissing(EmbeddedError):
    """There are no PostgreSQL programs to start."""

    code: ClassVar[str] = "binaries_missing"


class FolderInUse(EmbeddedError):
    """Another living process runs a server on this folder."""

    code: ClassVar[str] = "folder_in_use"


class DataFolderUnusable(EmbeddedError):
    """The folder belongs to another PostgreSQL version or to somebody else."""

    code: ClassVar[str] = "data_folder_unusable"


class StartFailed(EmbeddedError):
    """PostgreSQL ended, or said nothing, before it was ready."""

    code: ClassVar[str] = "start_failed"
