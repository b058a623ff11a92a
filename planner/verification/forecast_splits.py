"""The forecasts on the frozen splits of public studies: what planner/forecasts says of itself, computed again."""

from collections.abc import Sequence

from planner.forecasts.backtesting import Backtest, backtest
from planner.forecasts.calibration import candidates, coverage, nested_errors, pooled_multipliers
from planner.forecasts.intervals import MULTIPLIERS
from planner.forecasts.splits import LOWER_FRONTIERS, by_ratio, family_mean, splits
from planner.verification.check import Check
from planner.verification.public_studies import reference_sets

_ERRORS = {10.0: 0.010, 30.0: 0.013, 100.0: 0.020}
_BEYOND_APPROACH_3 = 0.002
_WIDTHS = {10.0: 0.03, 30.0: 0.04}
_COVERED = (0.85, 0.97)
_LEVEL = 0.9
_DIGITS = 0.01
_GOAL = "a goal of ours; the splits' rules stand in planner/forecasts/splits.py"


def suite() -> Sequence[Check]:
    """Compare errors, coverage and widths with their goals, and the table of multipliers with its source.

    Takes about a minute. Raises NoReferenceDataError.
    """
    return (*_backtest_checks(backtest(reference_sets())), *_interval_checks())


def _backtest_checks(found: Backtest) -> Sequence[Check]:
    checks = []
    for each in found.primary:
        at = f"at {each.ratio:g} times the compute"
        checks.append(_at_most(f"loss error {at}, mean over sets", _ERRORS[each.ratio], each.error))
        checks.append(
            _at_most(f"loss error {at} below approach 3's", each.approach3_error, each.error)
        )
        name = f"loss error {at}, any set beyond approach 3's"
        checks.append(_at_most(name, _BEYOND_APPROACH_3, each.worse_than_approach3))
    return checks


def _interval_checks() -> Sequence[Check]:
    found = splits(reference_sets(), frontiers=LOWER_FRONTIERS)
    errors = nested_errors(found, candidates())
    checks = [
        Check(
            name=f"multiplier of the {100 * level:g} % interval",
            expected=MULTIPLIERS[level],
            found=value,
            is_met=abs(value - MULTIPLIERS[level]) <= _DIGITS,
            tolerance="printed digits",
            source="nested leave-one-family-out, planner/forecasts/calibration.py",
        )
        for level, value in pooled_multipliers(errors, found).items()
    ]
    inside, half_widths = coverage(errors, found, _LEVEL)
    for ratio, where in by_ratio(found).items():
        if ratio in _WIDTHS:
            of_ratio = [found[at] for at in where]
            share = family_mean([inside[at] for at in where], of_ratio)
            half = family_mean([half_widths[at] for at in where], of_ratio)
            low, high = _COVERED
            checks += [
                Check(
                    name=f"coverage of the 90 % interval at {ratio:g} times the compute, nested",
                    expected=_LEVEL,
                    found=share,
                    is_met=low <= share <= high,
                    tolerance=f"{low:g} to {high:g}",
                    source=_GOAL,
                ),
                _at_most(f"half-width of the 90 % interval at {ratio:g} times the compute", _WIDTHS[ratio], half),
            ]
    return checks


def _at_most(name: str, bound: float, found: float) -> Check:
    return Check(name=name, expected=bound, found=found, is_met=found <= bound, tolerance="at most", source=_GOAL)
