"""``oncue migrate`` on databases that lack something, and on one that does not."""

import pytest

from tests.fixtures.commands import Commands


@pytest.fixture
def empty(anyio_backend: str, empty_database_url: str, oncue: Commands) -> Commands:
    """Commands on a database without a schema."""
    oncue.environment["DATABASE_URL"] = empty_database_url
    return oncue


def test_status_names_what_is_missing_and_changes_nothing(empty: Commands) -> None:
    first = empty.json("migrate", "--status")
    second = empty("migrate", "--status")

    assert first["pending"][0] == "0001_initial"
    assert second.stdout.splitlines() == [f"pending  {name}" for name in first["pending"]]


def test_migrating_twice_applies_each_migration_once(empty: Commands) -> None:
    pending = empty.json("migrate", "--status")["pending"]

    assert empty.json("migrate") == {"applied": pending}
    assert empty.json("migrate") == {"applied": []}
    assert empty("migrate", "--status").stdout == "up to date\n"
