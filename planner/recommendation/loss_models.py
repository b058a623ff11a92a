"""Where losses come from: the user's own runs by the ensemble, or a published law with what is known of its errors."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from planner.errors import UnknownNameError
from planner.forecasts.evidence import Evidence, evidence_for
from planner.forecasts.forecaster import Forecaster
from planner.laws.law import predict
from planner.laws.loss_laws import HOFFMANN
from planner.laws.runs import Array, Runs

LEVEL = 0.9


class LossModel(Protocol):
    """What a recommendation needs to know of losses."""

    @property
    def source(self) -> str:
        """Where the losses come from, with its date or the runs' hash."""
        ...

    def losses(self, params: Array, tokens: Array) -> tuple[Array, Array, Array]:
        """Return losses and the ends of their 90 % intervals, each [n]."""
        ...

    def flops(self, params: float, tokens: float) -> float:
        """Return the compute of a run, as the evidence counts it."""
        ...

    def evidence(self, params: float, tokens: float) -> Evidence:
        """Return where a run lies beside the evidence."""
        ...


class OwnRuns:
    """Losses from a table of finished runs. Raises BadRunsError for runs that cannot be fitted."""

    def __init__(self, runs: Runs) -> None:
        self.forecaster = Forecaster(runs)

    @property
    def source(self) -> str:
        """The runs' number and hash."""
        runs = self.forecaster.runs
        return f"ensemble over {len(runs)} runs, data {runs.data_hash()}"

    def losses(self, params: Array, tokens: Array) -> tuple[Array, Array, Array]:
        """Return losses and the ends of their 90 % intervals, each [n]."""
        flops = np.array([self.flops(*pair) for pair in zip(params.tolist(), tokens.tolist(), strict=True)])
        return self.forecaster.band(params, tokens, flops, LEVEL)

    def flops(self, params: float, tokens: float) -> float:
        """Return the compute of a run, as the runs count it."""
        return self.forecaster.flops(params, tokens)

    def evidence(self, params: float, tokens: float) -> Evidence:
        """Return where a run lies beside the runs."""
        return evidence_for(self.forecaster.runs, params, tokens, self.flops(params, tokens))


@dataclass(frozen=True, slots=True)
class PublishedLaw:
    """Hoffmann's form with published constants, and the runs that these were fitted to."""

    source: str
    constants: dict[str, float]
    runs: int
    params: tuple[float, float]
    tokens: tuple[float, float]
    compute: tuple[float, float]
    shapes: tuple[float, float]

    def losses(self, params: Array, tokens: Array) -> tuple[Array, Array, Array]:
        """Return losses and intervals: twice the mean error that such a fit had on runs so far beyond its evidence."""
        found = predict(HOFFMANN, self.constants, {"params": params, "tokens": tokens})
        ratio = 6.0 * params * tokens / self.compute[1]
        half = np.interp(np.log(np.maximum(ratio, 1.0)), np.log(_ERROR_RATIOS), _HALF_WIDTHS)
        return found, found * (1.0 - half), found * (1.0 + half)

    def flops(self, params: float, tokens: float) -> float:
        """Return 6ND."""
        return 6.0 * params * tokens

    def evidence(self, params: float, tokens: float) -> Evidence:
        """Return where a run lies beside those that the law was fitted to."""

        def beyond(value: float, known: tuple[float, float]) -> float:
            return max(value / known[1], known[0] / value)

        return Evidence(
            runs=self.runs,
            frontier_flops=self.compute[1],
            span=self.compute[1] / self.compute[0],
            ratio=self.flops(params, tokens) / self.compute[1],
            params_beyond=beyond(params, self.params),
            tokens_beyond=beyond(tokens, self.tokens),
            shape_beyond=beyond(tokens / params, self.shapes),
        )


_ERROR_RATIOS = (1.0, 10.0, 30.0, 100.0)
_HALF_WIDTHS = (0.0126, 0.0392, 0.0746, 0.0746)
"""Twice the errors of approach 3: of its fit (rms), and its mean errors at 10, 30 and 100 times the compute of its
evidence over public studies, 1.96, 3.73 and 3.59 % (`ostinato plan verify`, forecasts); never falling."""
CHINCHILLA = PublishedLaw(
    source="Hoffmann et al. 2022 (arXiv:2203.15556), eq. 2, with the constants of Besiroglu et al. 2024 "
    "(arXiv:2404.10102): L = 1.8172 + 482.01/N^0.3478 + 2085.43/D^0.3658; MassiveText, tokens of SentencePiece 32k",
    constants={"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
    runs=240,
    params=(5.7e7, 1.62e10),
    tokens=(8.2e8, 3.18e11),
    compute=(1.4e18, 1.3e22),
    shapes=(0.456, 341.0),
)
_LAWS = {"chinchilla": CHINCHILLA}


def published_law(name: str) -> PublishedLaw:
    """Return a law that is known by name. Raises UnknownNameError."""
    if name not in _LAWS:
        raise UnknownNameError(f"law {name!r}: known here: {', '.join(_LAWS)}; or give runs of your own (--runs)")
    return _LAWS[name]
