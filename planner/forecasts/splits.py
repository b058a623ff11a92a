"""Frozen splits: what would have been said of the runs at the frontier from the runs far below it.

For a frontier Cf (the most compute, or a lower one) and a ratio k: the evidence are the runs with C <= Cf / k, the
tests those with Cf >= C >= .3 Cf (k = 10) or .5 Cf (k > 10). A split counts with at least 12 runs of evidence that
span a factor of 8, and at least 2 tests. The rules were fixed before any method was chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.laws.runs import Runs

RATIOS = (10.0, 30.0, 100.0)
LOWER_FRONTIERS = (1.0, 3.0, 10.0, 30.0)
"""Divisors of the most compute. 1 is the primary suite; the others give more splits, which are correlated with it."""
FEWEST_RUNS = 12
FEWEST_TESTS = 2
LEAST_SPAN = 8.0
_SAME, _NEAR = 1e-4, 1e-3
"""Budgets of one isoFLOP level differ by rounding: of a frontier, and of what lies a ratio below it."""


@dataclass(frozen=True, slots=True)
class RunSet:
    """Runs of one experiment. Sets of one family share their runs or their makers: they are not independent."""

    name: str
    family: str
    runs: Runs


@dataclass(frozen=True, slots=True)
class Split:
    """One question to the past."""

    name: str
    family: str
    ratio: float
    frontier: float
    """The divisor of the most compute."""
    evidence: Runs
    tests: Runs


def splits(
    sets: Sequence[RunSet], *, ratios: Sequence[float] = RATIOS, frontiers: Sequence[float] = (1.0,)
) -> tuple[Split, ...]:
    """Return the splits of all sets that count, without those that are the same as one before."""
    found: dict[tuple[str, float, int, float], Split] = {}
    for runs in sets:
        for frontier in frontiers:
            for ratio in ratios:
                split = split_of(runs, ratio, frontier)
                if split is not None:
                    found.setdefault(_identity(split), split)
    return tuple(found.values())


def split_of(runs: RunSet, ratio: float, frontier: float = 1.0) -> Split | None:
    """Return one split, or None where it does not count."""
    flops = runs.runs.flops
    most = flops[flops <= flops.max() / frontier * (1 + _SAME)]
    if not len(most):
        return None
    top = most.max()
    evidence = runs.runs.where(flops <= top / ratio * (1 + _NEAR))
    near = 0.3 if ratio <= 10.0 else 0.5
    tests = runs.runs.where((flops <= top * (1 + _SAME)) & (flops >= near * top * (1 - _NEAR)))
    if len(evidence) < FEWEST_RUNS or len(tests) < FEWEST_TESTS:
        return None
    if evidence.flops.max() < LEAST_SPAN * evidence.flops.min():
        return None
    return Split(runs.name, runs.family, ratio, frontier, evidence, tests)


def family_mean(values: Sequence[float], of: Sequence[Split]) -> float:
    """Return the mean over splits of a set, then over sets of a family, then over families."""
    families: dict[str, dict[str, list[float]]] = {}
    for value, split in zip(values, of, strict=True):
        families.setdefault(split.family, {}).setdefault(split.name, []).append(value)
    means = [np.mean([np.mean(of_set) for of_set in sets.values()]) for sets in families.values()]
    return float(np.mean(means))


def set_mean(values: Sequence[float], of: Sequence[Split]) -> float:
    """Return the mean over splits of a set, then over sets."""
    sets: dict[str, list[float]] = {}
    for value, split in zip(values, of, strict=True):
        sets.setdefault(split.name, []).append(value)
    return float(np.mean([np.mean(of_set) for of_set in sets.values()]))


def by_ratio(of: Sequence[Split]) -> Mapping[float, list[int]]:
    """Return where the splits of each ratio lie."""
    found: dict[float, list[int]] = {}
    for at, split in enumerate(of):
        found.setdefault(split.ratio, []).append(at)
    return dict(sorted(found.items()))


def _identity(split: Split) -> tuple[str, float, int, float]:
    return split.name, split.ratio, len(split.evidence), float(split.tests.flops.max())
