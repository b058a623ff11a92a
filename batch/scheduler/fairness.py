"""What each team is due: weighted max-min over demand, decayed usage, AWS Batch's terms. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from batch.scheduler.arrays import Floats

AWS_LEAST_DECAY_S = 600.0
"""What AWS Batch reads shareDecaySeconds = 0 as."""


def max_min(demand: Floats, weight: Floats, capacity: float) -> Floats:
    """Return the weighted max-min shares of `capacity`: everybody gets min(demand, level x weight).

    The highest level that fits (progressive filling; Bertsekas and Gallager, Data Networks, 6.5.2), by sorting the
    levels at which each demand is met. Shares sum to min(sum of demand, capacity). Nothing for weight 0.
    """
    wanted = np.where(weight > 0, demand, 0.0)
    if wanted.sum() <= capacity:
        return wanted
    claimants = (wanted > 0).nonzero()[0]
    met_at = wanted[claimants] / weight[claimants]
    by_level = met_at.argsort(kind="stable")
    order, met_at = claimants[by_level], met_at[by_level]
    met_before = np.zeros(len(order))
    wanted[order[:-1]].cumsum(out=met_before[1:])
    weight_left = weight[order][::-1].cumsum()[::-1]
    levels = (capacity - met_before) / weight_left
    first = int((levels <= met_at).argmax())
    return np.asarray(np.minimum(wanted, max(0.0, levels[first]) * weight))


def unfairness(used: Floats, entitled: Floats) -> float:
    """Return half the L1 distance between the teams' parts of what was used and of what they were entitled to."""
    total_used, total_entitled = used.sum(), entitled.sum()
    if total_used <= 0 or total_entitled <= 0:
        return 0.0
    return float(0.5 * np.abs(used / total_used - entitled / total_entitled).sum())


def decayed(value: Floats, rate: Floats, seconds: float, half_life_s: float) -> Floats:
    """Return `value`, which halves every `half_life_s`, after `seconds` during which `rate` a second was added."""
    kept = 0.5 ** (seconds / half_life_s)
    return np.asarray(value * kept + rate * (half_life_s / log(2.0)) * (1.0 - kept))


def reserved_fraction(compute_reservation: float, active: int) -> float:
    """Return the part of the chips that is held back for teams that are not active, AWS Batch's computeReservation.

    (R/100)^active with R in percent: R = 50 holds 50 % for one active team, 25 % for two, 12.5 % for three.
    """
    return float((compute_reservation / 100.0) ** active) if compute_reservation > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsFairshare:
    """AWS Batch's FairsharePolicy, in its own terms.

    `weight_factors` maps share identifiers, or prefixes that end in `*`, to weightFactor, of which *lower* is more: a
    factor of 0.125 is eight times the share of the default, 1.
    """

    share_decay_s: int = 0
    compute_reservation: int = 0
    weight_factors: Sequence[tuple[str, float]] = ()

    def __post_init__(self) -> None:
        """Raise ValueError outside of AWS's bounds."""
        if not 0 <= self.share_decay_s <= 604_800:
            raise ValueError(f"shareDecaySeconds = {self.share_decay_s}: must be 0 to 604800")
        if not 0 <= self.compute_reservation <= 99:
            raise ValueError(f"computeReservation = {self.compute_reservation}: must be 0 to 99")
        for identifier, factor in self.weight_factors:
            if not 0.0001 <= factor <= 999.9999:
                raise ValueError(f"weightFactor = {factor} of {identifier!r}: must be 0.0001 to 999.9999")

    def weight(self, identifier: str) -> float:
        """Return our weight (more is more) of a share identifier: 1 / weightFactor, by its longest match, else 1."""
        best, factor = -1, 1.0
        for pattern, value in self.weight_factors:
            fits = identifier.startswith(pattern[:-1]) if pattern.endswith("*") else identifier == pattern
            if fits and len(pattern) > best:
                best, factor = len(pattern), value
        return 1.0 / factor
