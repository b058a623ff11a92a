"""How far a question lies from the runs that are to answer it, and which questions are refused."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from planner.errors import RefusedError
from planner.forecasts.priors import SMALLEST_FRONTIER_FLOPS
from planner.laws.runs import Runs

FARTHEST_RATIO = 100.0
FEWEST_RUNS = 12
LEAST_SPAN = 8.0
FARTHEST_SIZE = 30.0
"""How far parameters or tokens may lie outside the evidence's. Of the tests behind the intervals 99 % lie within 24."""
FARTHEST_SHAPE = 10.0
"""The same of tokens per parameter; 99 % lie within 2.2, all within 10.7."""
NEAR_SHAPE = 2.2
_TOP = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What there is, and where the question lies. Ratios beyond the evidence are 1 or less within it."""

    runs: int
    frontier_flops: float
    span: float
    """The most compute over the least."""
    ratio: float
    """The compute asked about over the most there is."""
    params_beyond: float
    tokens_beyond: float
    shape_beyond: float
    """The same of tokens per parameter, above or below."""

    def reasons(self) -> tuple[str, ...]:
        """Return why a forecast is refused; nothing where it is not."""
        checks = (
            (self.runs < FEWEST_RUNS, f"{self.runs} runs are evidence; {FEWEST_RUNS} is the least that was tried"),
            (
                self.span < LEAST_SPAN,
                f"the runs span a factor of {self.span:.3g} in compute; {LEAST_SPAN:g} is the least that was tried",
            ),
            (
                self.ratio > FARTHEST_RATIO,
                f"it asks for {self.ratio:.3g} times the compute of the largest run "
                f"({self.frontier_flops:.3g} FLOPs); {FARTHEST_RATIO:g} is the most that was tried",
            ),
            _beyond("parameters", self.params_beyond, FARTHEST_SIZE),
            _beyond("tokens", self.tokens_beyond, FARTHEST_SIZE),
            _beyond("tokens per parameter", self.shape_beyond, FARTHEST_SHAPE),
        )
        return tuple(text for is_bad, text in checks if is_bad)

    def notes(self) -> tuple[str, ...]:
        """Return what makes a forecast less sure than its interval says, though it is not refused."""
        found = []
        if self.shape_beyond > NEAR_SHAPE:
            found.append(
                f"tokens per parameter lie {self.shape_beyond:.2g} times outside those of the runs: beyond "
                f"{NEAR_SHAPE:g} the interval was hardly tested"
            )
        if self.frontier_flops < SMALLEST_FRONTIER_FLOPS:
            found.append(
                f"the largest run has {self.frontier_flops:.2g} FLOPs; the priors were learned on studies above "
                f"{SMALLEST_FRONTIER_FLOPS:g}: they are looser here, and the interval is wider by what that leaves open"
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def evidence_for(runs: Runs, params: float, tokens: float, flops: float) -> Evidence:
    """Return where a run of `params`, `tokens` and compute `flops` lies beside `runs`."""
    shapes = runs.tokens / runs.params
    return Evidence(
        runs=len(runs),
        frontier_flops=float(runs.flops.max()),
        span=float(runs.flops.max() / runs.flops.min()),
        ratio=float(flops / runs.flops.max()),
        params_beyond=_outside(params, runs.params),
        tokens_beyond=_outside(tokens, runs.tokens),
        shape_beyond=_outside(tokens / params, shapes),
    )


def refuse(evidence: Evidence) -> None:
    """Raise RefusedError, with every reason, where the evidence does not carry the forecast."""
    reasons = evidence.reasons()
    if reasons:
        raise RefusedError(
            "no forecast: " + "; ".join(reasons) + ". Make runs nearer to it (`ostinato plan next`), or force it "
            "(--force): the interval then promises nothing"
        )


def flops_per_6nd(runs: Runs) -> float:
    """Return the median of compute over 6 · params · tokens near the frontier: how these runs count."""
    top = runs.where(runs.flops >= _TOP * runs.flops.max())
    return float(np.median(top.flops / (6.0 * top.params * top.tokens)))


def _outside(value: float, known: np.ndarray) -> float:
    return float(max(value / known.max(), known.min() / value))


def _beyond(what: str, factor: float, farthest: float) -> tuple[bool, str]:
    return (
        factor > farthest,
        f"its {what} lie {factor:.3g} times outside those of the runs; {farthest:g} is the most that was tried",
    )
