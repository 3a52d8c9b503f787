"""Plot: curves over time, as an SVG in ``bench/results``."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

_RESULTS: Final = Path(__file__).with_name("results")
_WIDTH: Final = 800
_HEIGHT: Final = 360
_LEFT: Final = 60
_BOTTOM: Final = 40
_TOP: Final = 40
_RIGHT: Final = 90
_COLOURS: Final = ("#2563eb", "#16a34a", "#dc2626", "#9333ea")
_LINES: Final = 5


class Curve:
    """Values of one thing over time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.points: list[tuple[float, float]] = []

    @property
    def growth(self) -> float:
        """How far the largest value is above the first."""
        return max(value for _, value in self.points) - self.points[0][1]

    def add(self, at: float, value: float) -> None:
        """Take a value."""
        self.points.append((at, value))


def write(name: str, title: str, unit_of_time: str, unit: str, curves: Sequence[Curve]) -> Path:
    """Draw curves, and return the file."""
    _RESULTS.mkdir(exist_ok=True)
    file = _RESULTS / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}-{name}.svg"
    file.write_text(_drawn(title, unit_of_time, unit, curves), encoding="utf-8")
    return file


def _drawn(title: str, unit_of_time: str, unit: str, curves: Sequence[Curve]) -> str:
    longest = max(at for curve in curves for at, _ in curve.points) or 1
    highest = 1.1 * max(value for curve in curves for _, value in curve.points) or 1
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(at: float) -> float:
        return round(_LEFT + wide * at / longest, 1)

    def y(value: float) -> float:
        return round(_TOP + high * (1 - value / highest), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(f"{title}, {unit} over {unit_of_time}")}</text>',
    ]
    for line in range(_LINES + 1):
        value, at = highest * line / _LINES, longest * line / _LINES
        parts += [
            f'<line x1="{_LEFT}" x2="{_LEFT + wide}" y1="{y(value)}" y2="{y(value)}" stroke="#e5e7eb"/>',
            f'<text x="{_LEFT - 6}" y="{y(value) + 4}" font-size="12" text-anchor="end">{value:,.0f}</text>',
            f'<text x="{x(at)}" y="{_HEIGHT - 20}" font-size="12" text-anchor="middle">{at:,.0f}</text>',
        ]
    for curve, colour in zip(curves, _COLOURS, strict=False):
        points = " ".join(f"{x(at)},{y(value)}" for at, value in curve.points)
        at, value = curve.points[-1]
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<text x="{x(at) + 6}" y="{y(value) + 4}" font-size="12" fill="{colour}">{escape(curve.name)}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])
