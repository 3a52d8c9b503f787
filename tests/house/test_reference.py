"""The reference lists what there is: each page against the code that it describes."""

import importlib
import logging
import pkgutil
import re
from pathlib import Path

import click
import pytest

import oncue
from oncue import telemetry
from oncue.api.routes import TABLE
from oncue.cli import app, settings
from oncue.protocol import limits, status
from oncue.protocol.errors import OncueError
from oncue.sdk import settings as sdk_settings
from oncue.sdk.options import OPTIONS
from tests.house.pages import code, coded, rows

SOURCE = Path(oncue.__file__).parent


def differences(page: str, described: set[str], there: set[str], *, add_to: str = "") -> list[str]:
    """Say what a page lacks and what it describes without need."""
    missing = [f"{name} is nowhere in docs/{page}; add a row{add_to}" for name in sorted(there - described)]
    return missing + [
        f"docs/{page} describes {name}, which is gone; drop its row" for name in sorted(described - there)
    ]


def error_classes() -> dict[str, type[OncueError]]:
    for module in pkgutil.walk_packages(oncue.__path__, "oncue."):
        if module.name.startswith(("oncue.protocol", "oncue.store", "oncue.cli.failures", "oncue.api", "oncue.engine")):
            importlib.import_module(module.name)
    found: dict[str, type[OncueError]] = {OncueError.__name__: OncueError}
    left: list[type[OncueError]] = [OncueError]
    while left:
        below = [each for each in left.pop().__subclasses__() if each.__module__.startswith("oncue.")]
        found |= {each.__name__: each for each in below}
        left += below
    return found


def commands(group: click.Command, path: str) -> dict[str, click.Command]:
    if not isinstance(group, click.Group):
        return {path: group}
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found |= commands(command, f"{path} {name}")
    return found


def test_every_public_name_has_its_row() -> None:
    assert differences("reference/python.md", set(coded("reference/python.md")) - triggers(), set(oncue.__all__)) == []


def triggers() -> set[str]:
    """Return the calls, as against names, that the page lists."""
    return {name for name in coded("reference/python.md") if "(" in name}


def test_every_setting_has_its_row() -> None:
    there = {variable.name for variable in settings.VARIABLES} | {
        sdk_settings.SECRET_KEY,
        sdk_settings.API_URL,
        sdk_settings.EVICT_ALWAYS,
    }
    described = {name for name in coded("reference/settings.md") if not name.startswith(".oncue")}

    assert differences("reference/settings.md", described, there) == []


@pytest.mark.parametrize("variable", settings.VARIABLES, ids=lambda variable: str(variable.name))
def test_default_of_each_setting_is_told(variable: settings.Variable) -> None:
    told = coded("reference/settings.md")[variable.name][2].replace("`", "")

    assert told.startswith(variable.default), f"docs/reference/settings.md says {told!r}; it is {variable.default!r}"


def test_every_error_has_its_row() -> None:
    assert differences("reference/errors.md", error_names(), set(error_classes())) == []


def error_names() -> set[str]:
    """Return the classes that the page lists; below them it lists names of stored errors."""
    return {name for name, cells in coded("reference/errors.md").items() if len(cells) > 2}


def test_code_and_status_of_errors_are_right() -> None:
    wrong = []
    for name, cells in coded("reference/errors.md").items():
        cls = error_classes().get(name)
        if cls is not None and code(cells[1]) != cls.code:
            wrong.append(f"{name} has the code {cls.code!r}; correct its row in docs/reference/errors.md")
        told = cells[2] if len(cells) == 4 else ""
        if told and told != str(getattr(cls, "default_status", "")):
            wrong.append(f"{name} has another status than {told}; correct its row in docs/reference/errors.md")

    assert wrong == []


def test_events_are_described_as_catalogued() -> None:
    catalogued = {
        (name, logging.getLevelName(level).lower(), said) for name, (level, said) in telemetry.CATALOGUE.items()
    }
    described = {(name, cells[1], cells[2]) for name, cells in coded("reference/events.md").items()}

    lacking = [f"| `{name}` | {level} | {said} |" for name, level, said in sorted(catalogued - described)]
    assert lacking == [], "docs/reference/events.md lacks these rows"
    assert described <= catalogued, "docs/reference/events.md has rows that no longer hold; drop them"


def test_every_catalogued_event_is_logged() -> None:
    logged = {
        name
        for file in SOURCE.rglob("*.py")
        for name in re.findall(r"[\"']([a-z]+\.[a-z_]+)[\"']", file.read_text(encoding="utf-8"))
        if file.name != "telemetry.py"
    }

    silent = [f"{name} is logged by nobody; log it, or drop it" for name in telemetry.CATALOGUE if name not in logged]
    assert silent == []


def test_every_command_has_its_row_with_options() -> None:
    described = {
        " ".join(re.sub(r" [\[A-Z].*", "", name).split()): {code(option.strip()) for option in cells[2].split(",")}
        for name, cells in coded("reference/cli.md").items()
        if name.startswith("oncue ")
    }
    there = {
        path: {
            parameter.opts[0]
            for parameter in command.params
            if isinstance(parameter, click.Option) and not parameter.hidden
        }
        for path, command in commands(app.command, "oncue").items()
    }

    assert differences("reference/cli.md", set(described), set(there)) == []
    wrong = [f"{path} takes {sorted(there[path])}" for path in there if there[path] != described[path]]
    assert wrong == [], "docs/reference/cli.md names other options; correct its rows"


def test_every_route_has_its_row() -> None:
    described = {f"{code(cells[0])} {code(cells[1])}" for cells in rows("reference/http.md") if len(cells) == 3}

    assert differences("reference/http.md", described, {f"{route.method} {route.path}" for route in TABLE}) == []


def test_every_limit_has_its_row_and_value() -> None:
    there = {name: f"{value:,}" for name, value in vars(limits).items() if name.isupper()}
    described = {name: cells[1] for name, cells in coded("reference/limits.md").items()}

    assert described == there, "docs/reference/limits.md differs from protocol/limits.py; correct its rows"


def test_shown_statuses_are_described_as_mapped() -> None:
    described = {
        (code(cells[1]), code(cells[0]))
        for cells in rows("reference/statuses.md")
        if len(cells) == 3 and code(cells[1])
    }

    assert described == set(status.SHOWN.items()), "docs/reference/statuses.md differs from protocol/status.py"


def test_every_option_is_described() -> None:
    assert differences("reference/options.md", set(coded("reference/options.md")), set(OPTIONS)) == []
