"""The members of the ensemble: draws of what to believe, since five families of studies cannot tell the best belief.

Of 240 draws from `WIDE`, the best quarter by their errors on all reference sets lie, each constant for itself, within
`LEARNED` (its 10 % and 90 % quantiles). The ensemble is a few draws from there. Left-one-family-out, the average over
the best quarter errs less at 30 and 100 times the compute than the best few do (calibration.py).
"""

from collections.abc import Mapping

from planner.forecasts.priors import Prior

_DRAWS = 16
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23)
_HALF_GAP = 0.05
_FIXED = 1e-4
_LINEAR = ("log_floor", "exponent", "recency")

Hyper = Mapping[str, float]
Ranges = Mapping[str, tuple[float, float]]

WIDE: Ranges = {
    "log_floor": (-0.75, -0.3),
    "exponent": (0.28, 0.48),
    "recency": (0.0, 1.0),
    "log_floor_sd": (0.04, 0.2),
    "exponent_sd": (0.08, 0.3),
    "exponent_gap_sd": (0.1, 0.6),
    "effective_runs": (20.0, 100.0),
    "noise_floor": (0.003, 0.01),
    "log_kappa_sd": (0.15, 0.5),
}
"""What is plausible at all. The first three are drawn evenly, the others evenly in their logarithm."""

LEARNED: Ranges = {
    "log_floor": (-0.67, -0.47),
    "exponent": (0.31, 0.46),
    "recency": (0.36, 0.91),
    "log_floor_sd": (0.046, 0.124),
    "exponent_sd": (0.095, 0.25),
    "exponent_gap_sd": (0.13, 0.5),
    "effective_runs": (24.0, 86.0),
    "noise_floor": (0.004, 0.009),
    "log_kappa_sd": (0.17, 0.42),
}


def draws(ranges: Ranges, count: int) -> tuple[Hyper, ...]:
    """Return `count` points that fill `ranges` evenly: Halton's sequence, one prime for each constant."""
    return tuple(
        {
            name: _between(name, *ends, _reversed_digits(number, prime))
            for (name, ends), prime in zip(ranges.items(), _PRIMES, strict=True)
        }
        for number in range(1, count + 1)
    )


def quartet(hyper: Hyper) -> tuple[Prior, ...]:
    """Return four priors: E a little lower and higher than the draw's, each with and without κ."""
    return tuple(
        Prior(**{**hyper, "log_floor": hyper["log_floor"] + half, "log_kappa_sd": log_kappa_sd})
        for half in (-_HALF_GAP, _HALF_GAP)
        for log_kappa_sd in (_FIXED, hyper["log_kappa_sd"])
    )


def _between(name: str, low: float, high: float, share: float) -> float:
    return low + (high - low) * share if name in _LINEAR else low * (high / low) ** share


def _reversed_digits(number: int, base: int) -> float:
    """Return `number` mirrored at the point: 0.d0d1d2... for the digits ...d2d1d0 (Halton 1960)."""
    value, unit = 0.0, 1.0 / base
    while number:
        number, digit = divmod(number, base)
        value += digit * unit
        unit /= base
    return value


MEMBERS: tuple[tuple[Prior, ...], ...] = tuple(quartet(hyper) for hyper in draws(LEARNED, _DRAWS))
"""The ensemble in groups of four: all forecasts are averaged with equal weights."""
