"""The census: right on what can be counted by hand, and equal with and without oncue."""

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from tests.fixtures.commands import REPOSITORY, Commands

FILE = REPOSITORY / "examples" / "code_census" / "tasks.py"

SOURCE = """\
class A:
    def short(self): pass

    async def long(self):
        def inner():
            pass

        inner()
"""


@pytest.fixture(scope="module")
def tasks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tests_code_census", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tests_code_census"] = module
    spec.loader.exec_module(module)
    return module


def test_whole_library_is_listed_once_and_in_order(tasks: ModuleType) -> None:
    files = tasks.python_files()

    # Distributions may leave out the library's own tests, which are more than half of it.
    assert len(files) > 500
    assert files == sorted(set(files))
    assert not [file for file in files if "site-packages" in file]
    assert all((Path(sysconfig.get_path("stdlib")) / file).is_file() for file in files[::100])


def test_counts_are_those_made_by_hand(tasks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LIBRARY", tmp_path)
    (tmp_path / "a.py").write_text(SOURCE)

    count = tasks.count_file("a.py")

    assert (count.lines, count.functions, count.classes, count.parsed) == (8, 3, 1, True)
    assert [(function.name, function.line, function.lines) for function in count.longest] == [
        ("long", 4, 5),
        ("inner", 5, 2),
        ("short", 2, 1),
    ]


@pytest.mark.parametrize("source", [b"print 'old'\n\n", b"# coding: uft-8\n\n", b"\xf6 = 1\n\n"])
def test_file_that_does_not_parse_keeps_its_lines(
    tasks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: bytes
) -> None:
    monkeypatch.setattr(tasks, "LIBRARY", tmp_path)
    (tmp_path / "bad.py").write_bytes(source)

    count = tasks.count_file("bad.py")

    assert (count.lines, count.functions, count.parsed) == (2, 0, False)


def test_ten_longest_may_come_from_one_file(tasks: ModuleType) -> None:
    def function(file: str, lines: int) -> object:
        return tasks.Function("f", file, 1, lines)

    many = tasks.FileCount(9, 12, 0, parsed=True, longest=[function("a.py", lines) for lines in range(100, 88, -1)])
    one = tasks.FileCount(9, 1, 0, parsed=True, longest=[function("b.py", 95)])

    longest = tasks.total([one, many]).longest

    assert [(found.file, found.lines) for found in longest[4:7]] == [("a.py", 96), ("b.py", 95), ("a.py", 95)]
    assert len(longest) == 10


def test_census_of_a_package_is_that_of_the_same_functions(served: Commands, tasks: ModuleType) -> None:
    served.start("worker", str(FILE.parent), "--processes", "2", "--concurrency", "4")

    run = served.json("trigger", "code-census", '{"package": "asyncio"}', "--wait")

    direct = tasks.total(tasks.count_file(file) for file in tasks.python_files("asyncio"))
    assert run["status"] == "COMPLETED", run
    assert msgspec.convert(run["output"], tasks.Census) == direct
    assert direct.files > 25


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_census_of_the_whole_library_takes_two_batches(oncue: Commands, tasks: ModuleType) -> None:
    oncue.patience_s = 150.0

    report = oncue.json("demo")

    assert report["equal"] is True
    assert report["runs"] == len(tasks.python_files()) + 1
    assert len(report["oncue"]["longest"]) == 10
    assert report["oncue"]["unparsable"] > 0
