"""The life of a secret key, from the terminal."""

import re
import subprocess
import sys

import pytest

from tests.fixtures.commands import Commands, until


@pytest.fixture
def keys(anyio_backend: str, database_url: str, oncue: Commands) -> Commands:
    """Commands on a database of the test's own."""
    oncue.environment["DATABASE_URL"] = database_url
    return oncue


def test_secret_is_shown_once_and_alone_on_stdout(keys: Commands) -> None:
    done = keys("keys", "create", "prod", "--name", "backend")

    assert re.fullmatch(r"tr_prod_sk_[A-Za-z0-9]{24}\n", done.stdout)
    assert "it is not shown again" in done.stderr
    assert done.stdout.strip() not in keys("keys", "list").stdout + str(keys.json("keys", "list"))


def test_list_tells_keys_apart_and_shows_revoked_ones(keys: Commands) -> None:
    assert "no keys yet" in keys("keys", "list").stderr
    made = [keys.json("keys", "create", slug, "--name", name) for slug, name in [("dev", "laptop"), ("prod", "shop")]]

    assert keys.json("keys", "revoke", str(made[0]["id"]), "--yes") == {"revoked": made[0]["id"]}

    rows = keys.json("keys", "list")
    assert [(row["environment"], row["name"], row["hint"]) for row in rows] == [
        ("prod", "shop", made[1]["secret"][-4:]),
        ("dev", "laptop", made[0]["secret"][-4:]),
    ]
    assert [row["revoked_at"] is None for row in rows] == [True, False]
    shown = keys("keys", "list").stdout
    assert "shop" in shown
    assert "revoked" in shown


def test_nothing_is_revoked_unless_somebody_agrees(keys: Commands) -> None:
    key = str(keys.json("keys", "create", "dev")["id"])

    silent, unwilling = keys("keys", "revoke", key), keys("keys", "revoke", key, stdin="n\n")
    assert (silent.returncode, unwilling.returncode) == (1, 1)
    assert "pass --yes to revoke without asking" in silent.stderr
    assert keys.json("keys", "list")[0]["revoked_at"] is None

    assert keys("keys", "revoke", key, stdin="y\n").stdout == f"key {key} is revoked\n"
    assert keys.json("keys", "list")[0]["revoked_at"] is not None


def test_unknown_key_or_environment_is_an_error(keys: Commands) -> None:
    assert keys("keys", "revoke", "77", "--yes").stderr == "error: there is no key 77 in force; see `oncue keys list`\n"
    assert keys("keys", "create", "moon").stderr == "error: no environment 'moon'; there are dev, prod\n"


def test_running_server_takes_and_drops_keys_at_once(served: Commands, database_url: str) -> None:
    made = served.json("keys", "create", "dev", DATABASE_URL=database_url)
    mine = {"TRIGGER_SECRET_KEY": made["secret"]}
    assert served("runs", "list", **mine).returncode == 0

    served("keys", "revoke", str(made["id"]), "--yes", DATABASE_URL=database_url)

    until(lambda: served("runs", "list", **mine).returncode == 1, "the server to refuse a revoked key")
    assert "was revoked" in served("runs", "list", **mine).stderr


def test_rotation_names_the_new_key_and_asks_nobody(keys: Commands) -> None:
    first, second = [keys.json("keys", "rotate-signing")["signing_key"] for _ in range(2)]

    assert first != second
    shown = keys("keys", "rotate-signing").stdout
    assert re.fullmatch(
        r"tokens are signed with key [0-9a-f]{12} from now on; those of before count until they expire\n", shown
    )


def test_tokens_are_refused_at_once_only_if_somebody_agrees(keys: Commands) -> None:
    unwilling = keys("keys", "rotate-signing", "--at-once", stdin="n\n")

    assert (unwilling.returncode, "was not rotated: you did not agree" in unwilling.stderr) == (1, True)
    assert keys("keys", "rotate-signing", "--at-once", stdin="y\n").stdout.endswith("those of before are refused\n")
    assert keys.json("keys", "rotate-signing", "--at-once", "--yes")["at_once"] is True


def test_running_server_hears_of_rotation_and_revocation(served: Commands, database_url: str) -> None:
    made = served.json("keys", "create", "dev", DATABASE_URL=database_url)
    secret = {"TRIGGER_SECRET_KEY": made["secret"]}
    run_id = served("trigger", "nobody-has-it", **secret).stdout.strip()

    def token() -> dict[str, str]:
        program = "import oncue; print(oncue.auth.sync.create_public_token({'read': {'runs': True}}))"
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env={**served.environment, **secret},
            capture_output=True,
            text=True,
            check=True,
        )
        return {"TRIGGER_SECRET_KEY": ran.stdout.strip()}

    def can_read(with_: dict[str, str]) -> bool:
        return served("runs", "show", run_id, **with_).returncode == 0

    before = token()
    served("keys", "rotate-signing", DATABASE_URL=database_url)
    after = token()
    assert can_read(before)
    assert can_read(after)

    served("keys", "rotate-signing", "--at-once", "--yes", DATABASE_URL=database_url)
    until(lambda: not can_read(after), "the server to refuse a token whose key is gone")
    last = token()
    assert can_read(last)

    served("keys", "revoke", str(made["id"]), "--yes", DATABASE_URL=database_url)
    until(lambda: not can_read(last), "the server to refuse a token of a revoked key")
