"""Count the code of Python's own standard library, one run for each file.

``code-census`` lists the files, sends them to ``count-file`` in batches and waits for all of them. While it waits it
holds no place on any worker, and would survive a restart of everything.
"""

import ast
import asyncio
import sysconfig
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

from oncue import item, task

LIBRARY = Path(sysconfig.get_path("stdlib"))
NOT_PYTHONS_OWN = {"site-packages", "dist-packages"}
LARGEST_BATCH = 1_000
SHOWN = 10

# Old escapes in the library's tests are not our business.
warnings.filterwarnings("ignore", category=SyntaxWarning)


@dataclass(frozen=True)
class Function:
    name: str
    file: str
    line: int
    lines: int


@dataclass(frozen=True)
class FileCount:
    lines: int
    functions: int
    classes: int
    parsed: bool
    longest: list[Function]


@dataclass(frozen=True)
class Census:
    files: int
    unparsable: int
    lines: int
    functions: int
    classes: int
    longest: list[Function]


@dataclass(frozen=True)
class Scope:
    package: str = ""
    """Count this package only, for instance ``asyncio``; empty counts the whole library."""


@task(id="code-census")
async def code_census(scope: Scope) -> Census:
    # Walking the folders takes a moment, which would hold up every other run on the event loop.
    files = await asyncio.to_thread(python_files, scope.package)
    counts: list[FileCount] = []
    for start in range(0, len(files), LARGEST_BATCH):
        items = [item(file) for file in files[start : start + LARGEST_BATCH]]
        results = await count_file.batch_trigger_and_wait(items)
        counts.extend(result.unwrap() for result in results.runs)
    return total(counts)


@task(id="count-file")
def count_file(file: str) -> FileCount:
    source = (LIBRARY / file).read_bytes()
    lines = len(source.splitlines())
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        # The library's tests contain files that are wrong on purpose.
        return FileCount(lines, functions=0, classes=0, parsed=False, longest=[])
    functions: list[Function] = []
    classes = 0
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                last = node.end_lineno or node.lineno
                functions.append(Function(node.name, file, node.lineno, lines=last - node.lineno + 1))
            case ast.ClassDef():
                classes += 1
    return FileCount(lines, len(functions), classes, parsed=True, longest=nlargest(SHOWN, functions, key=by_length))


def python_files(package: str = "") -> list[str]:
    """Return every Python file of the library, relative to its folder and in order."""
    found = (file.relative_to(LIBRARY) for file in (LIBRARY / package).rglob("*.py"))
    return sorted(file.as_posix() for file in found if not NOT_PYTHONS_OWN.intersection(file.parts))


def total(counts: Iterable[FileCount]) -> Census:
    kept = list(counts)
    return Census(
        files=len(kept),
        unparsable=sum(not count.parsed for count in kept),
        lines=sum(count.lines for count in kept),
        functions=sum(count.functions for count in kept),
        classes=sum(count.classes for count in kept),
        longest=nlargest(SHOWN, (function for count in kept for function in count.longest), key=by_length),
    )


def by_length(function: Function) -> tuple[int, str, int]:
    """Order functions by length; equally long ones always the same way."""
    return function.lines, function.file, function.line
