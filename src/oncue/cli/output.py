"""Output: how commands speak to people and to programs.

People get tables and colours, programs get JSON (``--json``) on standard output and nothing else there. Colours go
away where the output is no terminal or ``NO_COLOR`` is set; rich sees to that.
"""

import datetime
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_PIPED_WIDTH: Final = 180
"""Columns where nobody looks: wide enough that no id is cut."""

_STATUS_COLOURS: Final = {
    "COMPLETED": "green",
    "EXECUTING": "cyan",
    "WAITING": "cyan",
    "QUEUED": "yellow",
    "DELAYED": "yellow",
    "PENDING_VERSION": "yellow",
    "CANCELED": "bright_black",
    "EXPIRED": "bright_black",
}


def console(*, stderr: bool = False) -> "Console":
    """Return the console of standard output, or of standard error."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _PIPED_WIDTH)


def error(text: str) -> None:
    """Say in one line on standard error what went wrong."""
    from rich.text import Text

    console(stderr=True).print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)


def note(text: str) -> None:
    """Say something on standard error that is not the result."""
    from rich.text import Text

    console(stderr=True).print(Text(text, style="bright_black"), soft_wrap=True)


def json(value: Any) -> None:  # noqa: ANN401 - anything with a JSON form
    """Write one JSON document, on one line."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something takes a while; on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(text, spinner="dots"):
        yield


def table(*columns: str) -> "Table":
    """Return an empty table in our style."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, no_wrap=True)
    return made


def status(value: str) -> "Text":
    """Return a run's status in its colour."""
    from rich.text import Text

    return Text(value, style=_STATUS_COLOURS.get(value, "red"))


def duration(ms: float) -> str:
    """Write a length of time as a person says it: ``320 ms``, ``4.2 s``, ``3 m 20 s``."""
    if ms < 1000:  # noqa: PLR2004 - a second
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"


def age(moment: datetime.datetime) -> str:
    """Write how long ago a moment was, or how far off it is."""
    past_s = (datetime.datetime.now(datetime.UTC) - moment).total_seconds()
    size_s = abs(past_s)
    for unit, unit_s in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if size_s >= unit_s:
            told = f"{size_s / unit_s:.0f} {unit}"
            break
    else:
        told = f"{size_s:.0f} s"
    return f"{told} ago" if past_s >= 0 else f"in {told}"
