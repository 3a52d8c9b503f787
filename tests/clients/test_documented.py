"""What the page about TypeScript says, where no other test here holds it."""

import re
import subprocess
import uuid
from pathlib import Path

import pytest

from oncue.engine.rate_limits import RateLimit
from tests.clients.client import LATEST, OLDER, PATIENCE_S, Client, command, variables
from tests.fixtures.npm import Installed
from tests.fixtures.stack import ROOT, Stack

PAGE = (ROOT / "docs/how-to/call-from-typescript.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("sdk", [LATEST, OLDER])
async def test_example_prints_what_the_page_says(
    packages: Installed, own_stack: Stack, tmp_path: Path, sdk: str
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    url = own_stack.server.url
    await own_stack.start_worker(str(tmp_path / "tasks.py")).announced()

    ran = subprocess.run(
        [*command(packages), str(tmp_path / "app.ts")],
        env=variables(packages, sdk, url=url, key=own_stack.key),
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    promised = re.search(r"`node app\.ts` prints, .*:\n\n    (.+)\n", PAGE)
    assert promised is not None
    assert (ran.stdout.strip(), ran.returncode) == (promised[1], 0), ran.stderr


async def test_versions_of_the_page_are_those_that_are_pinned(packages: Installed) -> None:
    lock = (packages.folder / "package-lock.json").read_text(encoding="utf-8")

    for version in re.findall(r"\b4\.\d+\.\d+\b", PAGE):
        assert f'"version": "{version}"' in lock


async def test_trailing_debounce_without_tags_leaves_them(client: Client) -> None:
    debounce = {"key": uuid.uuid4().hex, "delay": "5m", "mode": "trailing"}
    call = {"id": "my-task", "payload": 1, "options": {"debounce": debounce}}
    first = await client("triggering.trigger", {**call, "options": {"debounce": debounce, "tags": ["kept"]}})

    second = await client("triggering.trigger", {**call, "payload": 2})

    shown = await client("runs.retrieve", first["id"])
    assert (second["id"], shown["payload"], shown["tags"]) == (first["id"], 2, ["kept"])


async def test_limited_batch_is_told_how_long_to_wait(
    packages: Installed, production_stack: Stack, tmp_path: Path
) -> None:
    server = production_stack.start_server(rate_limit_batch_items=RateLimit(5, 1, 3_600))
    client = Client(packages, LATEST, url=server.url, key=server.key, log=tmp_path / "log")
    try:
        await client("batches.created", {"id": "t", "items": [{"payload": 1}] * 5})
        error = await client.refused("batches.impatient", {"id": "t", "items": [{"payload": 1}] * 5})
    finally:
        client.close()

    assert (error["class"], error["phase"], error["isRateLimited"]) == ("BatchTriggerError", "create", True)
    assert 3_000_000 < error["retryAfterMs"] <= 5 * 3_602_000


@pytest.mark.parametrize("scenario", ["envvars", "deployments", "concurrencyLimits", "query"])
async def test_what_is_not_there_is_not_found(client: Client, scenario: str) -> None:
    error = await client.refused(f"missing.{scenario}")

    assert (error["class"], error["status"], error["shouldRetry"]) == ("NotFoundError", 404, "false")
