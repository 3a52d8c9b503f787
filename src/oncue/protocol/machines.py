"""Machines: presets of CPU and memory that a task or a run may name.

Source: wire contract §8.11.
"""

from typing import Final, Literal, TypeAlias, get_args

Machine: TypeAlias = Literal["micro", "small-1x", "small-2x", "medium-1x", "medium-2x", "large-1x", "large-2x"]
"""A preset, smallest first."""

MACHINES: Final[tuple[str, ...]] = get_args(Machine)

DEFAULT: Final[Machine] = "small-1x"
"""What a run has if neither it nor its task names one."""
