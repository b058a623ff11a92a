"""What a benchmark declares: figures with goals, and contestants that produce them."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal


class Effort(Enum):
    """How long a benchmark may take; the value is the number of measured rounds unless the benchmark sets its own."""

    QUICK = 3
    NORMAL = 7
    FULL = 15


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A bound on the ratio ours / peer, or on our own figure in its unit. Exactly one bound."""

    at_most: float | None = None
    at_least: float | None = None
    of: Literal["ratio", "ours"] = "ratio"

    def __post_init__(self) -> None:
        """Raise ValueError unless there is exactly one bound."""
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"Goal(at_most={self.at_most}, at_least={self.at_least}): give exactly one of the two")

    def text(self, unit: str) -> str:
        """Return the goal as read by people: `<= 1.03` for a ratio, `<= 1.5 s` for our own figure."""
        sign, bound = ("<=", self.at_most) if self.at_most is not None else (">=", self.at_least)
        return f"{sign} {bound:g}" if self.of == "ratio" else f"{sign} {bound:g} {unit}"

    def met(self, *, ours: float, ratio: float | None) -> bool | None:
        """Say whether the bound holds; None when there is no ratio to judge."""
        value = ours if self.of == "ours" else ratio
        if value is None:
            return None
        return value <= self.at_most if self.at_most is not None else value >= (self.at_least or 0.0)


@dataclass(frozen=True)
class Figure:
    """One quantity that every contestant reports: its name, its unit, and what we want of it."""

    name: str
    unit: str
    goal: Goal | None = None
    may_be_zero: bool = False
    """For counts of what should not happen. They have no ratio."""


Contestant = Callable[[], Mapping[str, float]]
"""Runs one round and returns the value of each figure, by name, in the figure's unit."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Who runs: ours, and each peer under the name by which the table calls it; and what cannot be had here, and why.

    A peer may report some of the figures. `absent` maps peers that take no part to the reason; `left_out` maps figures
    that nobody reports to theirs.
    """

    ours: Contestant
    peers: Mapping[str, Contestant] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A benchmark: what is measured, and how to set it up. `contest` is entered once, before the first round."""

    figures: tuple[Figure, ...]
    contest: Callable[[Effort], AbstractContextManager[Contest]]
    warmup_rounds: int = 1
    rounds: Mapping[Effort, int] = field(default_factory=lambda: {effort: effort.value for effort in Effort})
    packages: tuple[str, ...] = ()
    """Distributions whose versions are noted beside those of the packages that everything uses."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A benchmark of several parts, each with rounds of its own, in one table; `chaos` runs when asked for."""

    parts: Mapping[str, Bench]
    chaos: Mapping[str, Bench] = field(default_factory=dict)


def seconds(figure: str, work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Contestant:
    """Return a contestant whose only figure is the seconds that a call of `work` takes."""

    def contestant() -> dict[str, float]:
        start_s = clock()
        work()
        return {figure: clock() - start_s}

    return contestant
