"""Machines: presets of CPU and memory that a task or a run may name.

Source: wire contract §8.11.
"""

from typing import Final, Literal, NamedTuple, TypeAlias, get_args

Machine: TypeAlias = Literal["micro", "small-1x", "small-2x", "medium-1x", "medium-2x", "large-1x", "large-2x"]
"""A preset, smallest first."""

MACHINES: Final[tuple[str, ...]] = get_args(Machine)

DEFAULT: Final[Machine] = "small-1x"
"""What a run has if neither it nor its task names one."""

_GB: Final = 1024 * 1024 * 1024


class Size(NamedTuple):
    """What a machine has."""

    cpus: float
    memory_bytes: int

    def __str__(self) -> str:
        cpus = "1 CPU" if self.cpus == 1 else f"{self.cpus:g} CPUs"
        return f"{cpus} and {round(self.memory_bytes / _GB, 2):g} GB"


SIZES: Final[dict[str, Size]] = {
    "micro": Size(0.25, _GB // 4),
    "small-1x": Size(0.5, _GB // 2),
    "small-2x": Size(1, _GB),
    "medium-1x": Size(1, 2 * _GB),
    "medium-2x": Size(2, 4 * _GB),
    "large-1x": Size(4, 8 * _GB),
    "large-2x": Size(8, 16 * _GB),
}
"""Each machine's size; a GB is 1024 ** 3 bytes."""
