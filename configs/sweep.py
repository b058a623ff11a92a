"""From overrides in Hydra's sweep grammar to many configurations: what they share, the axes, each value checked."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.compose import Composed, compose, search_path
from configs.errors import OverrideError, Problem
from configs.hydra_tree import Axis, split_axes
from configs.sources import COMMAND_LINE

MAX_MEMBERS = 1_000_000
_MAX_CHECKED = 64
"""So many configurations are composed before a sweep is submitted; composing one takes some 20 ms."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Many configurations. `base` is the first member's; `shared` and `axes` are overrides, the last axis fastest."""

    base: Composed
    shared: tuple[str, ...]
    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        """Return the number of members."""
        return math.prod(len(values) for _, values in self.axes)


def compose_sweep(overrides: Sequence[str], *, config_dirs: Sequence[Path] = ()) -> Sweep:
    """Return the sweep that `overrides` ask for.

    Each value of each axis is composed once, with the first values of the other axes, so that a wrong value is known
    before anything is submitted; of axes with more than 64 values together, the first and the last of each. Raises a
    ConfigError as compose does, and OverrideError when there is no axis, or more than 1,000,000 members.
    """
    shared, axes = split_axes(overrides, search_path(config_dirs), MAX_MEMBERS)
    if not axes:
        advice = "give several values, as in optim.lr=1e-3,3e-4 or 'run.seed=range(0,8)', or submit one job"
        raise OverrideError([Problem("", "there is nothing to sweep over", COMMAND_LINE, advice=advice)])
    _refuse_twice(axes)
    count = math.prod(len(values) for _, values in axes)
    if count > MAX_MEMBERS:
        raise OverrideError(
            [Problem("", f"{count} members, at most {MAX_MEMBERS} are allowed", COMMAND_LINE, advice="split the sweep")]
        )
    base: Composed | None = None
    for chosen in _checked(axes):
        composed = compose([*shared, *chosen], config_dirs=config_dirs)
        base = base or composed
    assert base is not None
    return Sweep(base, tuple(shared), tuple(axes))


def _refuse_twice(axes: Sequence[Axis]) -> None:
    keys = [key for key, _ in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise OverrideError([Problem(key, "is swept twice", COMMAND_LINE, advice="join its values in one list")])


def _checked(axes: Sequence[Axis]) -> Iterator[list[str]]:
    """Yield the choices to compose: the first of all axes, then each other value of each axis alone."""
    first = [f"{key}={values[0]}" for key, values in axes]
    yield first
    everything = sum(len(values) for _, values in axes) <= _MAX_CHECKED
    for index, (key, values) in enumerate(axes):
        for value in values[1:] if everything else values[-1:]:
            yield [*first[:index], f"{key}={value}", *first[index + 1 :]]
