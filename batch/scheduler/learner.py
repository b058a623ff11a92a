"""How long jobs run: hazards by attained service, learned online from what ended and what still runs.

A class is a team and a size of gang. Attained run time is cut into bins; in each, `entered` jobs were at risk and
`ended` of them ended, so ended / entered is the Kaplan-Meier hazard, in which jobs that still run count as at risk up
to where they are. A class with few ends borrows from its team and from its size (and both from everybody), each parent
counting as `prior_weight` ends.
"""

import numpy as np

from batch.scheduler.arrays import Floats, Ints

NUM_BINS = 44
"""Attained service: the first bin is a minute, then each is 1.3026 times as wide, up to 60 days."""

_FIRST_EDGE_S = 60.0
_LAST_EDGE_S = 60 * 86400.0
EDGES_S: Floats = np.concatenate(
    [[0.0], _FIRST_EDGE_S * (_LAST_EDGE_S / _FIRST_EDGE_S) ** (np.arange(NUM_BINS) / (NUM_BINS - 1))]
)
_INNER_EDGES_S = EDGES_S[1:-1]
_WIDTHS_S = np.diff(EDGES_S)

NUM_SIZES = 5
"""Classes of gangs by chips: 1, 2, 3-4, 5-8, more."""

_GLOBAL_PRIOR_HAZARD = 0.12
_GLOBAL_PRIOR_WEIGHT = 4.0
_MOST_HAZARD = 0.98
_LAST_BIN_HAZARD = 0.999


def size_class(chips: int) -> int:
    """Return the class of a gang of `chips`."""
    return 0 if chips <= 1 else 1 if chips <= 2 else 2 if chips <= 4 else 3 if chips <= 8 else 4


def bins_of(attained_s: Floats) -> Ints:
    """Return the bin of each attained run time (seconds)."""
    return np.asarray(_INNER_EDGES_S.searchsorted(attained_s, side="right"))


def bin_of(attained_s: float) -> int:
    """Return the bin of one attained run time (seconds)."""
    return 0 if attained_s < _FIRST_EDGE_S else int(_INNER_EDGES_S.searchsorted(attained_s, side="right"))


def gittins(hazards: Floats) -> Floats:
    """Return the Gittins index, 1/s, of each class and bin, [classes, bins].

    The largest ratio, over stopping bins k, of the probability to end by k to the expected time spent until then
    (Gittins 1979; for jobs of unknown size Aalto, Ayesta, Righter 2009, eq. 4), with ends uniform inside a bin. Sums
    run from the far end, so that the tails of improbable survivors keep their precision.
    """
    survival = _survival(hazards)
    ends = _tail_sums(survival * hazards)
    times = _tail_sums(survival * _WIDTHS_S * (1 - hazards / 2))
    best = np.empty_like(hazards)
    for start in range(hazards.shape[1]):
        done = ends[:, start, None] - ends[:, start + 1 :]
        spent = times[:, start, None] - times[:, start + 1 :]
        # Where nobody survives, there is nothing to divide.
        best[:, start] = np.divide(done, spent, out=np.zeros_like(done), where=spent > 0).max(axis=1)
    return best


def remaining_quantiles(hazards: Floats, quantile: float) -> Floats:
    """Return the time (seconds) from the start of each bin in which a job that is there ends with that probability.

    [classes, bins]; linear inside the bin where it falls.
    """
    logs = np.cumsum(-np.log1p(-hazards), axis=1)
    logs = np.concatenate([np.zeros((len(hazards), 1)), logs], axis=1)
    wanted = logs[:, :-1] - np.log1p(-quantile)
    out = np.empty_like(hazards)
    for row in range(len(hazards)):
        out[row] = np.interp(wanted[row], logs[row], EDGES_S) - EDGES_S[:-1]
    return out


def _survival(hazards: Floats) -> Floats:
    stay = np.cumprod(1 - hazards[:, :-1], axis=1)
    return np.concatenate([np.ones((len(hazards), 1)), stay], axis=1)


def _tail_sums(values: Floats) -> Floats:
    """Return sums from each position to the end, and 0 after the last: [classes, bins + 1]."""
    sums = np.cumsum(values[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([sums, np.zeros((len(values), 1))], axis=1)


class Learner:
    """Counts by class, and what follows from them as of the last `rebuild`. Rows are team * NUM_SIZES + size."""

    def __init__(self, prior_weight: float) -> None:
        self._weight = prior_weight
        self._entered = np.zeros((0, NUM_BINS))
        self._ended = np.zeros((0, NUM_BINS))
        self.rates = np.zeros((0, NUM_BINS))
        self.hazards = np.zeros((0, NUM_BINS))
        self.version = 0
        self._changed = False

    def grow(self, teams: int) -> None:
        """Have rows for `teams` teams; new ones know what everybody's jobs taught until the next rebuild."""
        missing = teams * NUM_SIZES - len(self._entered)
        if missing <= 0:
            return
        more = np.zeros((missing, NUM_BINS))
        self._entered = np.concatenate([self._entered, more])
        self._ended = np.concatenate([self._ended, more])
        self._changed = True
        self.rebuild()

    def rates_at(self, at: Ints) -> Floats:
        """Return the index, 1/s, of each class * NUM_BINS + bin in `at`."""
        return self.rates.ravel().take(at)

    def ends_per_s(self, rows: Ints, bins: Ints) -> Floats:
        """Return the rate, 1/s, at which jobs of each class in `rows` end while they are in its bin."""
        return np.asarray(self.hazards.ravel()[rows * NUM_BINS + bins] / _WIDTHS_S[bins])

    def enter(self, row: int, after: int, upto: int) -> None:
        """Count one job of class `row` as at risk in the bins after `after`, up to `upto`; -1 is before the first."""
        if upto > after:
            self._entered[row, after + 1 : upto + 1] += 1
            self._changed = True

    def enter_many(self, rows: Ints, after: Ints, upto: Ints) -> None:
        """Count many jobs, one of each class in `rows`."""
        for row, low, high in zip(rows.tolist(), after.tolist(), upto.tolist(), strict=True):
            self.enter(row, low, high)

    def end(self, row: int, in_bin: int) -> None:
        """Count one job of class `row` as ended in `in_bin`."""
        self._ended[row, in_bin] += 1
        self._changed = True

    def rebuild(self) -> None:
        """Recompute hazards and indices from the counts. Costs a millisecond for a hundred classes."""
        if not self._changed:
            return
        self._changed = False
        self.hazards = self._hazards()
        self.rates = gittins(self.hazards)
        self.version += 1

    def _hazards(self) -> Floats:
        entered = self._entered.reshape(-1, NUM_SIZES, NUM_BINS)
        ended = self._ended.reshape(-1, NUM_SIZES, NUM_BINS)
        weight = self._weight
        everybody = (ended.sum((0, 1)) + _GLOBAL_PRIOR_WEIGHT * _GLOBAL_PRIOR_HAZARD) / (
            entered.sum((0, 1)) + _GLOBAL_PRIOR_WEIGHT
        )
        by_size = (ended.sum(0) + weight * everybody) / (entered.sum(0) + weight)
        by_team = (ended.sum(1) + weight * everybody) / (entered.sum(1) + weight)
        parent = np.minimum(_MOST_HAZARD, by_size[None] * by_team[:, None] / everybody)
        hazards = np.minimum(_MOST_HAZARD, (ended + weight * parent) / (entered + weight)).reshape(-1, NUM_BINS)
        hazards[:, -1] = _LAST_BIN_HAZARD
        return np.asarray(hazards)
