"""What the forecasts believe before they see a run. All of it was learned on public scaling studies; see backtest.py.

The active ingredient is the first: free fits put the irreducible loss E at .75 to .85 of the loss at the frontier, and
the frontier then keeps falling. A prior at .55 of it corrects that bias; it is no estimate of E, and it is relative to
`Reference.log_loss`.
"""

import math
from collections.abc import Sequence
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

NO_FLOOR = replace(Prior(), log_floor_sd=1e3, exponent_sd=0.3, log_kappa_sd=_FIXED)
"""The guard's fit: nothing is believed of E. It replaces the ensemble where it fits much better with E near nothing."""

LOOSE = Prior(
    log_floor=-0.3, log_floor_sd=0.5, exponent_sd=0.3, exponent_gap_sd=1.0, log_kappa_sd=_FIXED, recency=0.0,
    effective_runs=1e9, noise_floor=0.002,
)  # fmt: skip
"""For the design of experiments: what is learned from the runs, not from the prior. It only keeps few runs sane."""

SMALLEST_FRONTIER_FLOPS = 7e17
"""The least frontier of the primary splits on which the priors were learned (Misfitting, 30 x)."""
_DECADES = 2.0
_SMALL_FLOOR_SHIFT, _SMALL_FLOOR_SD = -0.8, 0.3
"""Where the loss is still far above E, E is a smaller part of it: a quarter here. Text has some .4 nats per byte that
cannot be learned (1.69 per token of four bytes, Hoffmann et al. 2022), and models so small have 1.7 and more."""
_SMALL_EXPONENT, _SMALL_EXPONENT_SD = 0.2, 0.1
"""The whole loss falls slower than what is left above a large E. No public study is so small: these four were chosen
on the runs of `lm_ladder` up to 3e12 FLOPs, on two versions of its text."""


def doubt(frontier_flops: float) -> float:
    """Return how far a frontier lies below all on which the priors were learned: 0 above, 1 from two decades below."""
    below = math.log10(SMALLEST_FRONTIER_FLOPS / frontier_flops) / _DECADES
    return min(max(below, 0.0), 1.0)


def loosened(members: Sequence[Prior], frontier_flops: float) -> list[Prior]:
    """Return the members with priors on E and exponents as low and as loose as the doubt about them asks."""
    share = doubt(frontier_flops)

    def between(learned: float, small: float) -> float:
        return learned + share * (small - learned)

    return [
        replace(
            member,
            log_floor=member.log_floor + share * _SMALL_FLOOR_SHIFT,
            log_floor_sd=between(member.log_floor_sd, max(_SMALL_FLOOR_SD, member.log_floor_sd)),
            exponent=between(member.exponent, _SMALL_EXPONENT),
            exponent_sd=between(member.exponent_sd, _SMALL_EXPONENT_SD),
        )
        for member in members
    ]
