"""Tests of official clients from npm, unmodified, against a real server and a real worker.

``node/scenarios`` holds what users write, ``programs`` the tasks that it triggers.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.client import LATEST, OLDER, PATIENCE_S, SOURCES, Client
from tests.fixtures.npm import INSTALL_S, Installed, install
from tests.fixtures.stack import Program, Stack

PROGRAMS = "tests.clients.programs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test the time that an installation may take."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(INSTALL_S + 2 * PATIENCE_S))


@pytest.fixture(scope="session")
def packages() -> Installed:
    """Official clients."""
    return install(SOURCES)


@pytest.fixture(scope="session")
def tasks_worker(shared_stack: Stack) -> Program:
    """Runs the tasks that scenarios trigger."""
    return shared_stack.start_worker(f"{PROGRAMS}.backend")


@pytest.fixture(scope="session")
def start_client(
    packages: Installed, shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Client]]:
    """Return the client of a version, which all tests of this process share; started when first asked for."""
    url = shared_stack.server.url
    started: dict[str, Client] = {}

    def start(sdk: str) -> Client:
        if sdk not in started:
            log = tmp_path_factory.mktemp("node") / "log"
            started[sdk] = Client(packages, sdk, url=url, key=shared_stack.key, log=log)
        return started[sdk]

    yield start
    for client in started.values():
        client.close()


@pytest.fixture
async def client(start_client: Callable[[str], Client], tasks_worker: Program) -> Client:
    """The newest client, beside a worker that is ready."""
    await tasks_worker.announced()
    return start_client(LATEST)


@pytest.fixture(params=[LATEST, OLDER], ids=["4.8.3", "4.5.12"])
async def each_client(
    request: pytest.FixtureRequest, start_client: Callable[[str], Client], tasks_worker: Program
) -> Client:
    """Every version in turn, beside a worker that is ready."""
    await tasks_worker.announced()
    return start_client(request.param)
