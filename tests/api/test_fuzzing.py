"""Whatever fits the OpenAPI document, or nearly does, is answered as it promises, and never with a server error."""

import asyncio
import datetime
import os
import sys
from pathlib import Path

import pytest

from tests.fixtures.stack import ROOT, Stack

HOOKS = "tests.api.fuzzing_hooks"
PROMISED_ERRORS = "^/api/v1/schedules"
"""Answers 501 to everything, as it says."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.parametrize("examples", [3, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_no_request_gets_an_answer_that_is_not_promised(own_stack: Stack, tmp_path: Path, examples: int) -> None:
    # Claims are answered at once: what waits for runs would wait long.
    server = own_stack.start_server(claim_wait=datetime.timedelta(0))
    command = [
        "run", f"{server.url}/openapi.json", "--header", f"Authorization: Bearer {server.key}", "--checks", CHECKS,
        "--phases", "coverage,fuzzing", "--max-examples", str(examples), "--max-failures", "20", "--no-color",
        "--exclude-path-regex", PROMISED_ERRORS, "--suppress-health-check", "all", "--generation-database", "none",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", *command, cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()[-20_000:]
    assert b"request.failed" not in server.log.read_bytes()
