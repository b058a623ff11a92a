"""Power laws of the error in compute, along the best runs: CLIP's zero-shot classification and retrieval.

Cherti et al. 2022 (arXiv 2212.07143), figure 1 and its notebook: log compute is cut into five equal bins, the least
error of each is put at the middle of its bin, and a line is fitted to those points by least squares.
"""

import numpy as np

from planner.errors import BadRunsError
from planner.laws.runs import Array

_BINS = 5
_BEYOND = 0.1
"""Decades that their last bin reaches beyond the largest compute."""


def error_envelope(flops: Array, error: Array, bins: int = _BINS) -> tuple[float, float]:
    """Return (coefficient, exponent) of error = coefficient · flops^exponent along the bins' least errors.

    `flops` in any unit, which the coefficient then has too. Raises BadRunsError for fewer than two bins with runs.
    """
    log_flops, log_error = np.log10(flops), np.log10(error)
    edges = np.linspace(log_flops.min(), log_flops.max() + _BEYOND, bins + 1)
    at = np.digitize(log_flops, edges) - 1
    filled = [number for number in range(bins) if (at == number).any()]
    if len(filled) < 2:
        raise BadRunsError(f"error envelope: {len(flops)} runs lie in {len(filled)} of {bins} bins; 2 are needed")
    centres = np.array([(edges[number] + edges[number + 1]) / 2.0 for number in filled])
    least = np.array([log_error[at == number].min() for number in filled])
    exponent, intercept = np.polyfit(centres, least, 1)
    return float(10.0**intercept), float(exponent)
