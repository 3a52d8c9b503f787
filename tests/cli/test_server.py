"""``oncue server`` as operators meet it: started, killed, and several at once."""

import json
import os
import signal
import urllib.error
import urllib.request

import pytest

from tests.fixtures.commands import KEY, Commands, is_healthy, is_open, until
from tests.fixtures.embedded import is_running, server_pid


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_killed_server_leaves_no_postgres_and_its_data(oncue: Commands) -> None:
    oncue.environment.update(ONCUE_BOOTSTRAP_SECRET_KEY=KEY, TRIGGER_SECRET_KEY=KEY)
    server = oncue.start("server", "--port", "0", "--json")
    url = json.loads(server.says("}"))["url"]
    run_id = oncue.json("trigger", "greet", "--delay", "1h", TRIGGER_API_URL=url)["id"]
    postgres = server_pid(oncue.folder / ".oncue" / "postgres")

    server.process.kill()

    until(lambda: not is_running(postgres), "PostgreSQL to follow its owner")
    again = oncue.serve()
    assert oncue.json("runs", "show", run_id, TRIGGER_API_URL=again)["status"] == "DELAYED"


def test_told_to_stop_it_stops_postgres_too(oncue: Commands) -> None:
    server = oncue.start("server", "--port", "0", "--json")
    port = _port(json.loads(server.says("}"))["url"])
    postgres = server_pid(oncue.folder / ".oncue" / "postgres")

    assert server.stop() == 0

    assert not is_running(postgres)
    assert not is_open(port)


def test_other_commands_join_the_postgres_that_runs(oncue: Commands) -> None:
    url = oncue.serve()

    secret = oncue("keys", "create", "prod").stdout.strip()

    assert oncue("runs", "list", TRIGGER_API_URL=url, TRIGGER_SECRET_KEY=secret).returncode == 0
    assert is_healthy(url)


def test_servers_limit_production_as_the_environment_says(
    anyio_backend: str, database_url: str, oncue: Commands
) -> None:
    key = KEY.replace("dev", "prod")
    said = {"ONCUE_RATE_LIMIT_REQUESTS": "2+1/3600s", "ONCUE_RATE_LIMIT_BATCH_ITEMS": "off"}
    url = oncue.serve(DATABASE_URL=database_url, ONCUE_BOOTSTRAP_SECRET_KEY=key, **said)
    statuses = []
    for _ in range(3):
        request = urllib.request.Request(f"{url}/api/v1/runs", headers={"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request) as answer:
                statuses.append(answer.status)
        except urllib.error.HTTPError as error:
            statuses.append(error.code)

    assert statuses == [200, 200, 429]


def test_rate_limit_that_is_none_ends_the_server(oncue: Commands) -> None:
    failed = oncue("server", "--port", "0", ONCUE_RATE_LIMIT_REQUESTS="many")

    assert failed.returncode != 0
    assert "ONCUE_RATE_LIMIT_REQUESTS='many' is no rate limit; expected <capacity>+<refill>/<seconds>s" in failed.stderr


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_bootstrap_key_opens_the_environment_it_names(
    anyio_backend: str, database_url: str, oncue: Commands, environment: str
) -> None:
    key = KEY.replace("dev", environment)
    url = oncue.serve(DATABASE_URL=database_url, ONCUE_BOOTSTRAP_SECRET_KEY=key)
    mine = {"TRIGGER_API_URL": url, "TRIGGER_SECRET_KEY": key}
    oncue.json("trigger", "greet", **mine)

    (run,) = oncue.json("runs", "list", **mine)

    assert run["env"]["name"] == environment


def test_several_processes_share_a_port_and_its_end(anyio_backend: str, database_url: str, oncue: Commands) -> None:
    oncue.environment.update(DATABASE_URL=database_url, ONCUE_BOOTSTRAP_SECRET_KEY=KEY, TRIGGER_SECRET_KEY=KEY)
    server = oncue.start("server", "--processes", "2", "--port", "0", "--json")
    told = json.loads(server.says("}"))
    until(lambda: len(server.relatives()) == 2, "two serving processes")
    victim = server.relatives()[0]

    os.kill(victim, signal.SIGKILL)

    until(lambda: victim not in server.relatives() and len(server.relatives()) == 2, "another in its place")
    assert oncue.json("runs", "list", TRIGGER_API_URL=told["url"]) == []
    assert server.stop(signal.SIGTERM) == 0
    assert server.relatives() == []
    assert not is_open(_port(told["url"]))


def test_serving_processes_die_with_their_killed_parent(anyio_backend: str, database_url: str, oncue: Commands) -> None:
    server = oncue.start("server", "--processes", "2", "--port", "0", "--json", DATABASE_URL=database_url)
    port = _port(json.loads(server.says("}"))["url"])

    server.process.kill()

    until(lambda: server.relatives() == [] and not is_open(port), "the children to follow")


def test_missing_database_is_told_once_by_many(oncue: Commands) -> None:
    done = oncue("server", "--processes", "2", "--port", "0", DATABASE_URL="postgresql://127.0.0.1:1/x")

    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: no PostgreSQL answers at 127.0.0.1:1/x: ")
