"""Census: the example that ``oncue demo`` runs, and the same count without oncue.

There is one copy of the example's code: ``examples/code_census/tasks.py``, where users look for it. A wheel carries it
as ``oncue/cli/examples/``, below no package, so that a worker imports it as it would a user's file.
"""

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from oncue.cli.failures import CommandFailed

_FILE: Final = Path("examples") / "code_census" / "tasks.py"


class Function(msgspec.Struct, frozen=True):
    """One of the longest functions."""

    name: str
    file: str
    line: int
    lines: int


class Census(msgspec.Struct, frozen=True):
    """What was counted."""

    files: int
    unparsable: int
    lines: int
    functions: int
    classes: int
    longest: list[Function]


def file() -> Path:
    """Return the example's file: the wheel's, or the repository's.

    Raises:
        CommandFailed: It is not there.
    """
    here = Path(__file__).resolve()
    for root in (here.parent, here.parents[3]):
        if (root / _FILE).is_file():
            return root / _FILE
    raise CommandFailed(f"this installation lacks the demo's {_FILE}; install oncue anew with pip")


def files(package: str) -> Sequence[str]:
    """Return what will be counted.

    Raises:
        CommandFailed: The library has no such package.
    """
    found: Sequence[str] = _example().python_files(package)
    if not found:
        raise CommandFailed(f"the standard library has no package {package!r}; try --package asyncio")
    return found


async def count_directly(names: Sequence[str], counted: Callable[[], object]) -> Census:
    """Count in this process, file after file.

    Args:
        names: From ``files``.
        counted: Called after each.
    """
    example = _example()
    counts = []
    for name in names:
        counts.append(example.count_file(name))
        counted()
        # Ctrl-C has a chance after each file.
        await asyncio.sleep(0)
    return read(example.total(counts))


def read(census: Any) -> Census:  # noqa: ANN401 - the example's own class, or a run's output
    """Return the example's result as ours."""
    return msgspec.convert(census, Census, from_attributes=True)


@cache
def _example() -> ModuleType:
    name = "oncue_code_census"
    spec = importlib.util.spec_from_file_location(name, file())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its classes' annotations are looked up there.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
