"""What the forecasts believe before they see a run. All of it was learned on public scaling studies; see backtest.py.

The active ingredient is the first: free fits put the irreducible loss E at .75 to .85 of the loss at the frontier, and
the frontier then keeps falling. A prior at .55 of it corrects that bias; it is no estimate of E, and it is relative to
`Reference.log_loss`.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Normal priors on the parameters of the interaction law, and how much each run says."""

    log_floor: float = -0.55
    """Of e: the logarithm of E over the reference loss."""
    log_floor_sd: float = 0.07
    exponent: float = 0.37
    """Of α and β."""
    exponent_sd: float = 0.15
    exponent_gap_sd: float = 0.3
    """Of α - β."""
    log_kappa_sd: float = 0.3
    recency: float = 0.6
    """A run weighs (its compute / the most compute)^recency: the frontier is what is extrapolated."""
    effective_runs: float = 40.0
    """Above this many, runs count together as this many: their errors are not independent."""
    noise_floor: float = 0.006
    """The least standard deviation of ln L about the law."""


_FIXED = 1e-4
"""A standard deviation that leaves a parameter where its prior puts it."""

MEMBERS: tuple[Prior, ...] = tuple(
    Prior(log_floor=log_floor, log_kappa_sd=log_kappa_sd)
    for log_floor in (-0.5, -0.6)
    for log_kappa_sd in (_FIXED, 0.3)
)
"""The ensemble: its forecasts are averaged with equal weights."""

NO_FLOOR = replace(Prior(), log_floor_sd=1e3, exponent_sd=0.3, log_kappa_sd=_FIXED)
"""The guard's fit: nothing is believed of E. It replaces the ensemble where it fits much better with E near nothing."""
