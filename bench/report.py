"""Report: the figures as a table for people and as a file for programs."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table
from rich.text import Text

from bench.figures import Figure
from bench.machine import Machine
from oncue.cli import output

_RESULTS: Final = Path(__file__).with_name("results")


class Report(msgspec.Struct, frozen=True):
    """One run of the benchmarks."""

    machine: Machine
    figures: list[Figure]
    ratios: dict[str, float]
    """Name of a figure to its value divided by that of the figure it is compared with."""
    left_out: dict[str, str]
    """Measurements that gave no figures, and why."""


def made(machine: Machine, figures: Sequence[Figure], left_out: dict[str, str]) -> Report:
    """Gather what was found, and compare."""
    values = {figure.name: figure.value for figure in figures}
    ratios = {
        figure.name: figure.value / values[figure.against]
        for figure in figures
        if figure.against is not None and values.get(figure.against)
    }
    return Report(machine, list(figures), ratios, left_out)


def written(report: Report, *, kind: str | None) -> Path:
    """Write the report to ``bench/results`` and return the file.

    Args:
        report: What to write.
        kind: Part of the file's name where this was not a full run.
    """
    machine = report.machine
    names = [machine.taken_at.strftime("%Y-%m-%d"), machine.commit, *([kind] if kind else [])]
    path = _RESULTS / f"{'-'.join(names)}.json"
    text = msgspec.json.format(msgspec.json.encode(report), indent=1).decode()
    # Six digits are more than any of it is good for.
    path.write_text(re.sub(r"\d+\.\d{4,}", lambda found: f"{float(found[0]):.4g}", text) + "\n", encoding="utf-8")
    return path


def show(report: Report) -> None:
    """Print the tables."""
    console, machine = output.console(), report.machine
    durable = ", ".join(f"{name} {machine.settings[name]}" for name in ("fsync", "synchronous_commit"))
    console.print(
        f"{machine.cores} cores, {machine.system}, Python {machine.python}, PostgreSQL {machine.postgres} ({durable}), "
        f"load {machine.load[0]:.2f}, commit {machine.commit}{' with changes' if machine.changed else ''}"
    )
    console.print(_table(report))
    for name, reason in report.left_out.items():
        console.print(Text(f"{name} was left out: {reason}", style="yellow"))


def _table(report: Report) -> Table:
    table = output.table("figure", "", "value", "unit", "p99", "rounds", "ratio", "promise")
    for column in (2, 4, 5, 6):
        table.columns[column].justify = "right"
    section = ""
    for figure in report.figures:
        head, _, _ = figure.name.partition(".")
        if section and head != section:
            table.add_section()
        section = head
        table.add_row(
            figure.name,
            figure.meaning,
            _number(figure.value),
            figure.unit,
            "" if figure.p99 is None or figure.count == 1 else _number(figure.p99),
            f"{_number(min(figure.rounds))} to {_number(max(figure.rounds))}" if len(figure.rounds) > 1 else "",
            _ratio(figure, report),
            _promise(figure),
        )
    return table


def _ratio(figure: Figure, report: Report) -> str:
    ratio = report.ratios.get(figure.name)
    return "" if ratio is None else f"{ratio:.2f} of {figure.against}"


def _promise(figure: Figure) -> Text:
    promise = figure.promise
    if promise is None:
        return Text()
    told = f"{'≥' if promise.at_least else '<'} {_number(promise.limit)} "
    return Text(told + "✓", "green") if promise.kept_by(figure.value) else Text(told + "✗", "red")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
