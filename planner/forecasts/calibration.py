"""How wide the intervals must be: nested leave-one-family-out on the reference sets.

For each family of sets, the best quarter of `CANDIDATES` random ensembles, by their errors on the *other* families,
forecast its splits; their forecasts and their σ (intervals.py) are averaged. The errors are those of a method that has
not seen the family. Quantiles of |error| / σ over all splits are the multipliers; at each ratio each family weighs the
same, in it each set, and in that each split. Coverage is honest once more: of each family with the multiplier that the
other families give. `ostinato plan verify forecasts` does it all and compares with the table in the code.

That the best quarter is averaged, and not the best few, was chosen on these families too: with 4 of 120 the errors at
30 and 100 times the compute are a third larger, since 5 families cannot tell good from lucky.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.forecasts.ensemble import fit_ensemble
from planner.forecasts.interaction_law import Array
from planner.forecasts.intervals import MULTIPLIERS
from planner.forecasts.members import WIDE, draws, quartet
from planner.forecasts.posterior import weighted_quantile
from planner.forecasts.priors import Prior
from planner.forecasts.splits import Split, by_ratio, family_mean

CANDIDATES = 120
"""Random ensembles to choose from."""
_CHOSEN = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Forecasts of the tests of one split beside what was measured."""

    error: Array
    """ln(forecast / measured) at each test."""
    scale: Array
    """σ at each test."""

    @property
    def median(self) -> float:
        """The median |error|: what a split counts."""
        return float(np.median(np.abs(self.error)))


def candidates(count: int = CANDIDATES) -> tuple[tuple[Prior, ...], ...]:
    """Return random ensembles from all that is plausible."""
    return tuple(quartet(hyper) for hyper in draws(WIDE, count))


def errors_of(split: Split, ensembles: Sequence[Sequence[Prior]]) -> list[Errors]:
    """Return the errors of each ensemble, all of one size, on one split."""
    tests = split.tests
    found = fit_ensemble(split.evidence, ensembles).forecast_each(tests.params, tests.tokens, tests.flops)
    shape = (len(ensembles), len(tests))
    errors = np.broadcast_to(found.log_loss - np.log(tests.loss), shape)
    return [Errors(error, scale) for error, scale in zip(errors, np.broadcast_to(found.scale, shape), strict=True)]


def nested_errors(splits: Sequence[Split], ensembles: Sequence[Sequence[Prior]]) -> list[Errors]:
    """Return the errors of each split by ensembles chosen on the other families. About a minute for 120 ensembles."""
    answers = [errors_of(split, ensembles) for split in splits]
    medians = np.array([[answer.median for answer in of_split] for of_split in answers])
    found: dict[int, Errors] = {}
    for family in sorted({split.family for split in splits}):
        others = [at for at, split in enumerate(splits) if split.family != family]
        scores = [_score(medians[others, which], [splits[at] for at in others]) for which in range(len(ensembles))]
        chosen = np.argsort(scores)[: math.ceil(_CHOSEN * len(ensembles))]
        for at, split in enumerate(splits):
            if split.family == family:
                errors = np.mean([answers[at][which].error for which in chosen], axis=0)
                found[at] = Errors(errors, np.mean([answers[at][which].scale for which in chosen], axis=0))
    return [found[at] for at in range(len(splits))]


def pooled_multipliers(
    errors: Sequence[Errors], splits: Sequence[Split], levels: Sequence[float] = tuple(MULTIPLIERS)
) -> Mapping[float, float]:
    """Return the quantile of |error| / σ at each level."""
    sizes = np.concatenate([np.abs(each.error) / each.scale for each in errors])[None]
    weights = np.concatenate([np.full(len(each.error), 1.0 / len(each.error)) for each in errors])
    owner = np.repeat(np.arange(len(splits)), [len(each.error) for each in errors])
    weights = (weights * np.array(_split_weights(splits))[owner])[None]
    return {level: float(weighted_quantile(sizes, weights, level)[0]) for level in levels}


def coverage(errors: Sequence[Errors], splits: Sequence[Split], level: float) -> tuple[list[float], list[float]]:
    """Return of each split which part of its tests lies inside, and its median half-width, both left-one-family-out."""
    inside, half_widths = [0.0] * len(splits), [0.0] * len(splits)
    for family in {split.family for split in splits}:
        others = [at for at, split in enumerate(splits) if split.family != family]
        wide = pooled_multipliers([errors[at] for at in others], [splits[at] for at in others], [level])[level]
        for at, split in enumerate(splits):
            if split.family == family:
                inside[at] = float(np.mean(np.abs(errors[at].error) <= wide * errors[at].scale))
                half_widths[at] = float(np.median(wide * errors[at].scale))
    return inside, half_widths


def _score(medians: Array, splits: Sequence[Split]) -> float:
    """Return the sum over ratios of the family mean."""
    return sum(
        family_mean([float(medians[at]) for at in where], [splits[at] for at in where])
        for where in by_ratio(splits).values()
    )


def _split_weights(splits: Sequence[Split]) -> list[float]:
    """Return weights by which each family counts the same at each ratio, each set in it, and each split of the set."""
    weights = []
    for split in splits:
        of_ratio = [other for other in splits if other.ratio == split.ratio]
        of_family = [other for other in of_ratio if other.family == split.family]
        of_set = [other for other in of_family if other.name == split.name]
        families, sets = {other.family for other in of_ratio}, {other.name for other in of_family}
        weights.append(1.0 / (len(families) * len(sets) * len(of_set)))
    return weights
