"""Servers under test, each on the test's own database."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oncue.api import services
from oncue.api.services import Services
from oncue.engine import environments
from oncue.store.pool import connect
from tests.api.client import Client, Running, served
from tests.fixtures.stack import Stack


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    """The services of every server that the test starts, in order."""
    found: Running = []
    real = services.running

    @contextlib.asynccontextmanager
    async def noted(settings: Any) -> AsyncIterator[Services]:
        async with real(settings) as opened:
            found.append(opened)
            yield opened

    monkeypatch.setattr(services, "running", noted)
    return found


@pytest.fixture
async def server_url_http(database_url: str, running: Running) -> AsyncIterator[str]:
    """Address of a server."""
    async with served(database_url) as url:
        yield url


@pytest.fixture
async def client(server_url_http: str) -> AsyncIterator[Client]:
    """A client of that server in the dev environment."""
    async with Client(server_url_http) as client:
        yield client


@pytest.fixture
async def prod_client(server_url_http: str, database_url: str) -> AsyncIterator[Client]:
    """A client of that server in the production environment."""
    connection = await connect(database_url)
    async with connection.transaction():
        key = await environments.create_key(connection, "prod", name="test")
    await connection.close()
    async with Client(server_url_http, key.secret) as client:
        yield client


@pytest.fixture
async def shared_client(shared_stack: Stack) -> AsyncIterator[Client]:
    """A client of a server that many tests share: for what leaves nothing there that others could meet."""
    async with Client(shared_stack.server.url, shared_stack.server.key) as client:
        yield client
