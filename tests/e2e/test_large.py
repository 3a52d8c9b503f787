"""Payloads and outputs that are too large for a row go through the object store, and nobody has to know."""

import pytest

from tests.e2e.conftest import Run

MB = 1024 * 1024
KINDS = ("", "-plain", "-apart", "-apart-plain")


@pytest.mark.parametrize("kind", KINDS)
async def test_large_payload_reaches_every_kind_of_task(run: Run, kind: str) -> None:
    assert await run(f"measures{kind}", {"text": "x" * MB}) == MB


@pytest.mark.parametrize("kind", KINDS)
async def test_large_output_of_every_kind_of_task_is_read(run: Run, kind: str) -> None:
    assert await run(f"writes{kind}", MB) == "x" * MB


@pytest.mark.parametrize("kind", ["", "-plain"])
async def test_large_outputs_of_children_reach_their_parent(run: Run, kind: str) -> None:
    sizes = await run(f"passes-large-texts-on{kind}", MB)

    assert sizes == ([MB, MB, MB + 1, MB + 2] if not kind else [MB, MB + 1])
