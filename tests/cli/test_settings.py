"""What the environment can say."""

import datetime
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from oncue.api.settings import ServerSettings
from oncue.cli import settings
from oncue.engine.rate_limits import RateLimit
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


def test_sizes_and_places_are_those_of_the_server_by_default(tmp_path: Path) -> None:
    usual = ServerSettings(database_url="")

    assert settings.objects_url(tmp_path) == str(tmp_path / "objects")
    assert settings.size_bytes(settings.OFFLOAD_BYTES) == usual.offload_bytes == 524_288
    assert settings.size_bytes(settings.MAX_PAYLOAD_BYTES) == usual.max_payload_bytes == 10_485_760
    assert settings.size_bytes(settings.MAX_OUTPUT_BYTES) == usual.max_output_bytes == 104_857_600
    assert settings.max_batch_items() == usual.max_batch_items == 1_000
    assert settings.retention() is usual.retention is None


def test_sizes_and_places_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (
        ("ONCUE_OBJECTS_URL", "s3://bucket/here"),
        ("ONCUE_OFFLOAD_BYTES", "2048"),
        ("ONCUE_MAX_PAYLOAD_BYTES", "1000000000"),
        ("ONCUE_MAX_OUTPUT_BYTES", "1024"),
        ("ONCUE_MAX_BATCH_ITEMS", "1"),
        ("ONCUE_RETENTION_DAYS", "30"),
    ):
        monkeypatch.setenv(name, value)

    assert settings.objects_url(tmp_path) == "s3://bucket/here"
    assert (settings.size_bytes(settings.OFFLOAD_BYTES), settings.size_bytes(settings.MAX_PAYLOAD_BYTES)) == (
        2_048,
        1_000_000_000,
    )
    assert (settings.size_bytes(settings.MAX_OUTPUT_BYTES), settings.max_batch_items()) == (1_024, 1)
    assert settings.retention() == datetime.timedelta(days=30)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("ONCUE_OFFLOAD_BYTES", "1023", partial(settings.size_bytes, settings.OFFLOAD_BYTES)),
        ("ONCUE_MAX_PAYLOAD_BYTES", "10MB", partial(settings.size_bytes, settings.MAX_PAYLOAD_BYTES)),
        ("ONCUE_MAX_OUTPUT_BYTES", "1000000001", partial(settings.size_bytes, settings.MAX_OUTPUT_BYTES)),
        ("ONCUE_MAX_BATCH_ITEMS", "0", settings.max_batch_items),
        ("ONCUE_RETENTION_DAYS", "-1", settings.retention),
    ],
)
def test_size_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: Callable[[], object]
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"{name}='{value}' is not accepted; expected a"):
        read()


def test_rate_limits_are_as_said_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ServerSettings(database_url="")
    variables = (settings.RATE_LIMIT_REQUESTS, settings.RATE_LIMIT_PUBLIC_REQUESTS, settings.RATE_LIMIT_BATCH_ITEMS)
    defaults = [settings.rate_limit(each) for each in variables]
    monkeypatch.setenv("ONCUE_RATE_LIMIT_REQUESTS", "750+250/10s")
    monkeypatch.setenv("ONCUE_RATE_LIMIT_BATCH_ITEMS", " OFF ")

    assert defaults == [(100_000, 100_000, 10), (60, 60, 60), (1_000_000, 500_000, 10)]
    assert [RateLimit(*found) for found in defaults if found] == [
        told.rate_limit_requests,
        told.rate_limit_public_requests,
        told.rate_limit_batch_items,
    ]
    assert settings.rate_limit(settings.RATE_LIMIT_REQUESTS) == (750, 250, 10)
    assert settings.rate_limit(settings.RATE_LIMIT_BATCH_ITEMS) is None


@pytest.mark.parametrize(
    "text", ["750", "750+250", "750+250/10", "0+250/10s", "750+0/10s", "750+250/0s", "-1+1/1s", "1+1/86401s",
             "1000000001+1/1s", "1.5+1/1s", "750 + 250 / 10s", "none", "1+1/1m", "½+1/1s", "1+1/1s" * 50],
)  # fmt: skip
def test_rate_limit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ONCUE_RATE_LIMIT_BATCH_ITEMS", text)

    with pytest.raises(SettingsError, match=r"ONCUE_RATE_LIMIT_BATCH_ITEMS='.* expected .*750\+250/10s.*or off"):
        settings.rate_limit(settings.RATE_LIMIT_BATCH_ITEMS)


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


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ("*",)),
        ("*", ("*",)),
        ("none", ()),
        ("https://App.Example.com:8443", ("https://app.example.com:8443",)),
        ("https://a.example.com, http://localhost:5173", ("https://a.example.com", "http://localhost:5173")),
    ],
)
def test_pages_are_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ONCUE_CORS_ORIGINS", value)

    assert settings.cors_origins() == origins


@pytest.mark.parametrize(
    "value",
    [
        "app.example.com",
        "https://a/",
        "https://a/b",
        "https://*.a.com",
        "a b",
        ",",
        "https://a.com:443",
        "http://a.com:80",
        "https://bücher.example",
    ],
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ONCUE_CORS_ORIGINS", value)

    with pytest.raises(SettingsError, match="is not an origin; expected origins such as https://app"):
        settings.cors_origins()
