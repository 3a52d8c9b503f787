"""A Node process in which an official client runs, and does what tests ask of it; see ``node/run.mjs``."""

import asyncio
import itertools
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

from tests.fixtures.npm import Installed

SOURCES: Final = Path(__file__).parent / "node"
PATIENCE_S: Final = 40.0
LATEST: Final = "@trigger.dev/sdk"
"""4.8.3; ``node/package.json`` pins what each name stands for."""
OLDER: Final = "trigger-sdk-4.5"

_OURS: Final = ("TRIGGER_", "ONCUE_", "NODE_OPTIONS", "VERCEL_")


def command(installed: Installed) -> list[str]:
    """Return what runs a file that imports the client as users do."""
    return [*installed.node, "--disable-warning=ExperimentalWarning", "--import", str(SOURCES / "resolving.mjs")]


def variables(installed: Installed, sdk: str, *, url: str, key: str) -> dict[str, str]:
    """Return the environment of a process with a client: ours, without what would lead it elsewhere."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
        "TRIGGER_API_URL": url,
        "TRIGGER_SECRET_KEY": key,
        "CLIENT_TEST_PACKAGES": str(installed.folder),
        "CLIENT_TEST_SDK": sdk,
        "CLIENT_TEST_PATIENCE_MS": str(int(PATIENCE_S * 1000)),
    }


class Failed(AssertionError):
    """A scenario threw."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("stack") or error["message"])
        self.error = error


class Client:
    """One process; calls wait for one another."""

    def __init__(self, installed: Installed, sdk: str, *, url: str, key: str, log: Path) -> None:
        """Start it.

        Args:
            installed: Where the packages are.
            sdk: Name of the package that scenarios get when they import ``@trigger.dev/sdk``.
            url: ``TRIGGER_API_URL``.
            key: ``TRIGGER_SECRET_KEY``.
            log: What it prints is appended there.
        """
        self.log = log
        self._numbers = itertools.count(1)
        self._turn = threading.Lock()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*command(installed), str(SOURCES / "run.mjs")], env=variables(installed, sdk, url=url, key=key),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    async def __call__(self, scenario: str, argument: Any = None) -> Any:
        """Call a function and return its value.

        Args:
            scenario: ``file.function`` in ``node/scenarios``.
            argument: What JSON can say.

        Raises:
            Failed: It threw.
        """
        said = await asyncio.to_thread(self._ask, scenario, argument)
        if "error" in said:
            raise Failed(said["error"])
        return said["value"]

    async def refused(self, scenario: str, argument: Any = None) -> dict[str, Any]:
        """Call a function that throws, and return what it threw: ``class``, ``message``, ``status``, ..."""
        said = await asyncio.to_thread(self._ask, scenario, argument)
        assert "error" in said, f"{scenario} returned {said['value']!r}; expected an error"
        error: dict[str, Any] = said["error"]
        return error

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, scenario: str, argument: Any) -> dict[str, Any]:
        file, _, name = scenario.rpartition(".")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            asked = {"id": next(self._numbers), "file": file, "name": name, "argument": argument}
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            while line := self._process.stdout.readline():
                said: dict[str, Any] = json.loads(line)
                # What an earlier call said too late is nobody's any more.
                if said["id"] == asked["id"]:
                    return said
        raise AssertionError(f"node ended with {self._process.wait()}:\n{self.log.read_text()}")
