"""What the environment can say."""

from pathlib import Path

import pytest

from oncue.api.settings import ServerSettings
from oncue.cli import settings
from oncue.protocol.errors import SettingsError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in settings.VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)


def test_defaults_hold_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCUE_PORT", " ")

    assert settings.database_url() is None
    assert (settings.host(), settings.port(), settings.folder()) == ("127.0.0.1", 3030, Path(".oncue"))
    assert settings.bootstrap_key() is None
    assert settings.max_recoveries() == ServerSettings(database_url="").max_recoveries == 5
    assert (settings.log_level(), settings.log_level("warning")) == ("info", "warning")


def test_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCUE_HOST", "0.0.0.0")
    monkeypatch.setenv("ONCUE_PORT", "4000")
    monkeypatch.setenv("ONCUE_FOLDER", "/data")

    assert (settings.host(), settings.port(), settings.folder()) == ("0.0.0.0", 4000, Path("/data"))
    assert (settings.host("::1"), settings.port(0), settings.folder(Path("here"))) == ("::1", 0, Path("here"))


def test_number_of_recoveries_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCUE_MAX_RECOVERIES", "0")
    assert settings.max_recoveries() == 0
    monkeypatch.setenv("ONCUE_MAX_RECOVERIES", "30000")
    assert settings.max_recoveries() == 30_000


@pytest.mark.parametrize("port", ["-1", "65536", "3030.0", "½"])
def test_port_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("ONCUE_PORT", port)

    with pytest.raises(SettingsError, match="ONCUE_PORT"):
        settings.port()


def test_child_gets_changes_and_loses_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/x")

    found = settings.for_child({"DATABASE_URL": None, "ONCUE_LOG": "error"})

    assert "DATABASE_URL" not in found
    assert found["ONCUE_LOG"] == "error"
    assert "PATH" in found
