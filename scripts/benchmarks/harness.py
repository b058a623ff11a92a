"""Runs a contest: in each round every contestant has one turn, so that a slow minute of the machine hits all alike."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scripts.benchmarks.contest import Bench, Contest, Contestant, Effort, Figure

OURS = "ours"
Round = Mapping[str, Mapping[str, float]]
"""The figures of each contestant in one round: contestant -> figure -> value."""
Progress = Callable[[int, int, Round], None]
"""Called after each measured round with its number from 1, the number of rounds, and its figures."""


@dataclass(frozen=True)
class Spread:
    """Median and interquartile range of a figure over the measured rounds."""

    median: float
    iqr: float


@dataclass(frozen=True)
class Result:
    """One figure of ours beside one peer's. `peer` and `ratio` are None for a contest without peers.

    `ours` is None for a figure that could not be measured; `note` says why, or why a peer is not there.

    `ratio` is over the ratios ours / peer of the single rounds, which share the state of the machine; its median need
    not be the quotient of the two medians.
    """

    figure: Figure
    ours: Spread | None
    peer: Spread | None
    peer_name: str | None
    ratio: Spread | None
    note: str | None = None

    def met(self) -> bool | None:
        """Say whether the figure's goal is met; None without a goal or without the ratio it is about."""
        if self.figure.goal is None or self.ours is None:
            return None
        return self.figure.goal.met(ours=self.ours.median, ratio=self.ratio.median if self.ratio else None)


def spread(values: Sequence[float]) -> Spread:
    """Return the median and interquartile range (inclusive quartiles) of at least one value."""
    if len(values) == 1:
        return Spread(values[0], 0.0)
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), upper - lower)


def run(bench: Bench, effort: Effort, progress: Progress) -> list[Result]:
    """Run the benchmark and return one result per figure and peer. Blocks until all rounds are over.

    An exception of a contestant ends the run; it carries a note of who failed, and when. Raises ValueError unless ours
    reports exactly the declared figures, and each peer some of them, as positive finite numbers.
    """
    num_rounds = bench.rounds[effort]
    with bench.contest(effort) as contest:
        contestants = _named(contest)
        figures = [figure for figure in bench.figures if figure.name not in contest.left_out]
        if not figures:
            return _results(bench.figures, contest, [])
        for index in range(bench.warmup_rounds):
            _round(contestants, figures, index, "warm-up round")
        rounds = []
        for index in range(num_rounds):
            rounds.append(_round(contestants, figures, index, "round"))
            progress(index + 1, num_rounds, rounds[-1])
        return _results(bench.figures, contest, rounds)


def _named(contest: Contest) -> dict[str, Contestant]:
    if OURS in contest.peers:
        raise ValueError(f"a peer may not be called {OURS!r}: give it the name of what it is")
    return {OURS: contest.ours, **contest.peers}


def _round(contestants: Mapping[str, Contestant], figures: Sequence[Figure], index: int, kind: str) -> Round:
    """Give each contestant its turn; who begins changes from round to round."""
    names = list(contestants)
    first = index % len(names)
    values = {}
    for name in names[first:] + names[:first]:
        try:
            values[name] = _checked(contestants[name](), figures, may_be_some=name != OURS)
        except BaseException as error:
            error.add_note(f"in {kind} {index + 1} of contestant {name!r}")
            raise
    return values


def _checked(values: Mapping[str, float], figures: Sequence[Figure], *, may_be_some: bool) -> Mapping[str, float]:
    declared = {figure.name: figure for figure in figures}
    is_complete = values and values.keys() <= declared.keys() if may_be_some else values.keys() == declared.keys()
    if not is_complete:
        raise ValueError(f"reported the figures {sorted(values)}, declared are {sorted(declared)}")
    for name, value in values.items():
        if not (math.isfinite(value) and (value > 0 or (value == 0 and declared[name].may_be_zero))):
            raise ValueError(f"{name} = {value}: must be a positive finite number")
    return values


def _results(figures: Sequence[Figure], contest: Contest, rounds: Sequence[Round]) -> list[Result]:
    results = []
    absent = "; ".join(f"{name}: {reason}" for name, reason in contest.absent.items()) or None
    for figure in figures:
        if figure.name in contest.left_out:
            results.append(Result(figure, None, None, None, None, contest.left_out[figure.name]))
            continue
        ours = [values[OURS][figure.name] for values in rounds]
        peers = [name for name in contest.peers if all(figure.name in values[name] for values in rounds)]
        if not peers or figure.may_be_zero:
            results.append(Result(figure, spread(ours), None, None, None, absent))
            continue
        for name in peers:
            peer = [values[name][figure.name] for values in rounds]
            ratios = [a / b for a, b in zip(ours, peer, strict=True)]
            results.append(Result(figure, spread(ours), spread(peer), name, spread(ratios), absent))
    return results
