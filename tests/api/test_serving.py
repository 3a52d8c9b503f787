import asyncio
import contextlib
import socket

import pytest

from oncue.api.serve import address, bind, serve
from oncue.api.settings import ServerSettings
from oncue.protocol.errors import BadRequest, SettingsError
from oncue.store.errors import DatabaseUnavailable
from oncue.store.pool import connect
from tests.api.client import DEV_KEY, Client, served


async def test_fresh_database_is_migrated_and_takes_the_bootstrap_key(empty_database_url: str) -> None:
    async with served(empty_database_url) as url, Client(url) as client:
        health, ready = await client.get("/health"), await client.get("/ready")
        triggered = await client.post("/api/v1/tasks/add/trigger", {})

    assert (health.status, health.body) == (200, {"status": "ok"})
    assert (ready.status, ready.body) == (200, {"status": "ready"})
    assert triggered.status == 200


async def test_two_servers_share_one_database(empty_database_url: str) -> None:
    async with (
        served(empty_database_url) as first,
        served(empty_database_url) as second,
        Client(first) as here,
        Client(second) as there,
    ):
        run = await here.trigger("add")
        shown = await there.get(f"/api/v3/runs/{run}")

    assert shown.status == 200


async def test_health_needs_no_key_and_answers_head(server_url_http: str) -> None:
    async with Client(server_url_http, key=None) as stranger:
        reply = await stranger.send("HEAD", "/health")

    assert (reply.status, reply.body) == (200, None)


async def test_server_is_not_ready_while_a_migration_is_missing(database_url: str) -> None:
    async with served(database_url) as url, Client(url) as client:
        connection = await connect(database_url)
        await connection.execute(
            "delete from oncue.migrations where version = (select max(version) from oncue.migrations)"
        )
        await connection.close()
        reply = await client.get("/ready")

    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert "the database lacks 0" in reply.body["error"]


async def test_port_in_use_is_said_in_words() -> None:
    with contextlib.closing(bind("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}.*--port"):
            bind("127.0.0.1", port)


async def test_address_of_any_interface_is_the_loopback() -> None:
    with contextlib.closing(socket.create_server(("0.0.0.0", 0))) as listening:
        assert address(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_absent_database_ends_the_start_with_advice() -> None:
    with contextlib.closing(bind("127.0.0.1", 0)) as unused:
        url = f"postgresql://nobody:hidden@127.0.0.1:{unused.getsockname()[1] + 1}/none"

    with pytest.raises(DatabaseUnavailable, match="check DATABASE_URL") as raised:
        await serve(ServerSettings(database_url=url, port=0))

    assert "hidden" not in str(raised.value)


async def test_bootstrap_key_of_wrong_shape_ends_the_start(database_url: str) -> None:
    with pytest.raises(BadRequest, match="wrong shape") as raised:
        await serve(ServerSettings(database_url=database_url, port=0, bootstrap_key="tr_dev_sk_short"))

    assert "short" not in str(raised.value)


async def test_settings_do_not_show_their_secrets(database_url: str) -> None:
    shown = repr(ServerSettings(database_url=database_url, bootstrap_key=DEV_KEY))

    assert database_url not in shown
    assert DEV_KEY not in shown


async def test_request_in_progress_is_finished_before_stopping(database_url: str) -> None:
    blocker = await connect(database_url)
    async with served(database_url) as url:
        client = Client(url)
        await client.announce("add")
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("lock table oncue.runs in exclusive mode")
        triggering = asyncio.create_task(client.trigger("add"))
        async with asyncio.timeout(10):
            while not await blocker.fetchval("select count(*) from pg_locks where not granted"):
                await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(transaction.rollback()))

    assert (await triggering).startswith("run_")
    await client._session.close()
    await blocker.close()
