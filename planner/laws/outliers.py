"""Which runs a fit leaves out, by an explicit policy: five points can move an exponent by .05."""

import re
from dataclasses import dataclass

import numpy as np

from planner.errors import BadInputError, BadRunsError
from planner.laws.runs import Runs

_TOP = re.compile(r"top:(\d+)")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A run that was left out."""

    params: float
    tokens: float
    loss: float


def drop_outliers(runs: Runs, policy: str) -> tuple[Runs, tuple[Dropped, ...]]:
    """Return the runs that a policy keeps and those that it leaves out.

    `none` keeps all; `top:5` leaves out the five highest losses, as Epoch's replication of Hoffmann et al. does
    (Besiroglu et al. 2024, arXiv 2404.10102), and with them every run of the same loss as the fifth. Raises
    BadInputError for another policy and BadRunsError if less than half would be kept.
    """
    if policy == "none":
        return runs, ()
    found = _TOP.fullmatch(policy)
    if found is None:
        raise BadInputError(f"outliers = {policy!r}: must be none or top:K, such as top:5 for the five highest losses")
    count = int(found[1])
    if 2 * count > len(runs):
        raise BadRunsError(f"outliers = {policy}: would leave out {count} of {len(runs)} runs; at most half may go")
    if count == 0:
        return runs, ()
    keep = runs.loss < np.sort(runs.loss)[-count]
    gone = runs.where(~keep)
    rows = zip(gone.params, gone.tokens, gone.loss, strict=True)
    dropped = tuple(Dropped(float(params), float(tokens), float(loss)) for params, tokens, loss in rows)
    return runs.where(keep), dropped
