"""How wide the intervals must be: nested leave-one-family-out on the reference sets.

For each family of sets, the four of `CANDIDATES` random ensembles that err least on the *other* families forecast its
splits, and their forecasts are averaged: the errors are those of a method that has not seen the family. They are
divided by σ of `intervals.py`. Quantiles over all splits, each split weighing as much in its family as any and each
family as much as any other, are the multipliers. Coverage is honest once more: of each family with the multiplier
that the other families give. `./scripts/bench planner --only forecasts` does it all and compares with the code's table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.forecasts.ensemble import fit_ensemble
from planner.forecasts.interaction_law import Array
from planner.forecasts.intervals import MULTIPLIERS
from planner.forecasts.posterior import weighted_quantile
from planner.forecasts.priors import Prior
from planner.forecasts.splits import Split, by_ratio, family_mean

CANDIDATES = 160
"""Random ensembles to choose from."""
_CHOSEN = 4
_SEED = 20260101
_FIXED_KAPPA_SD = 1e-4
_HALF_GAP = 0.05


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
    """Return random ensembles of the frozen one's form: two centres of E, with and without κ."""
    random = np.random.default_rng(_SEED)
    found = []
    for _ in range(count):
        center = random.uniform(-0.75, -0.3)
        rest = {
            "exponent": random.uniform(0.28, 0.48),
            "recency": random.uniform(0.0, 1.0),
            "log_floor_sd": _log_uniform(random, 0.04, 0.2),
            "exponent_sd": _log_uniform(random, 0.08, 0.3),
            "exponent_gap_sd": _log_uniform(random, 0.1, 0.6),
            "effective_runs": _log_uniform(random, 20.0, 100.0),
            "noise_floor": _log_uniform(random, 0.003, 0.01),
        }
        log_kappa_sd = _log_uniform(random, 0.15, 0.5)
        found.append(
            tuple(
                Prior(log_floor=center + half, log_kappa_sd=sd, **rest)
                for half in (-_HALF_GAP, _HALF_GAP)
                for sd in (_FIXED_KAPPA_SD, log_kappa_sd)
            )
        )
    return tuple(found)


def errors_of(split: Split, members: Sequence[Prior]) -> Errors:
    """Return the errors of one ensemble on one split."""
    tests = split.tests
    forecast = fit_ensemble(split.evidence, members).forecast(tests.params, tests.tokens, tests.flops)
    return Errors(forecast.log_loss - np.log(tests.loss), forecast.scale)


def nested_errors(splits: Sequence[Split], ensembles: Sequence[Sequence[Prior]]) -> list[Errors]:
    """Return the errors of each split by ensembles chosen on the other families. About a minute for 160 ensembles."""
    medians = np.array([[errors_of(split, members).median for members in ensembles] for split in splits])
    found: dict[int, Errors] = {}
    for family in sorted({split.family for split in splits}):
        others = [at for at, split in enumerate(splits) if split.family != family]
        scores = [_score(medians[others, which], [splits[at] for at in others]) for which in range(len(ensembles))]
        members = [prior for which in np.argsort(scores)[:_CHOSEN] for prior in ensembles[which]]
        for at, split in enumerate(splits):
            if split.family == family:
                found[at] = errors_of(split, members)
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


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
