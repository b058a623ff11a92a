"""Why a job waits, where it stands, when it is expected to start, and what would start at once instead."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, takewhile

import numpy as np

from batch.model import Shape
from batch.scheduler.actions import Reason, Reserve
from batch.scheduler.arrays import Ints
from batch.scheduler.decision import Decision, current_decision
from batch.scheduler.forecast import LATE, MEDIAN
from batch.scheduler.jobs import JobRecord
from batch.scheduler.reasons import reason_of
from batch.scheduler.state import SchedulerState

_MOST_AHEAD = 5


@dataclass(frozen=True, slots=True)
class Alternative:
    """A change to the job with which it would start now."""

    text: str
    nodes: int
    gpus: int
    pool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The answer to `ostinato why`. Chips are of the job's kind; times are epoch seconds.

    `place` and `team_place` count from 1 among the jobs that may start; 0 if the job may not. `ahead` has the
    first jobs that come before it, in their order, `ahead_chips` what all before it want. `start_p50_s` and
    `start_p90_s` assume that what runs ends as jobs of its kind do, and that nobody more urgent comes; None if it
    cannot be said.
    """

    uid: int
    reason: Reason
    team: str
    place: int = 0
    team_place: int = 0
    waiting: int = 0
    ahead: tuple[int, ...] = ()
    ahead_chips: float = 0.0
    used_chips: float = 0.0
    entitled_chips: float = 0.0
    target_chips: float = 0.0
    start_p50_s: float | None = None
    start_p90_s: float | None = None
    reservation: Reserve | None = None
    instead: tuple[Alternative, ...] = ()


def why(state: SchedulerState, uid: int, now_s: float) -> Why:
    """Explain job `uid` at `now_s`. Advances the state to `now_s`, like `decide`. Raises NotFoundError.

    Where nothing has happened since the last decision, it is that decision which is explained, for a second.
    """
    state.advance(now_s)
    job = state.roster.find(uid)
    shares = state.shares
    decision = current_decision(state)
    reason = reason_of(decision.draft, job)
    answer = Why(
        uid=uid,
        reason=reason,
        team=shares.teams[job.team].name,
        waiting=state.waiting_count,
        used_chips=float(shares.used[job.share]),
        entitled_chips=float(shares.entitled[job.share]),
        target_chips=float(shares.target[job.share]),
    )
    if job.bucket is None:
        return answer
    if uid in decision.draft.started:
        next_up = Reason("next", "starts with the next decision", job.profile.chips, None, "chips")
        return replace(answer, reason=next_up, start_p50_s=state.clock_s, start_p90_s=state.clock_s)
    return _of_waiting(decision, job, answer)


def _of_waiting(decision: Decision, job: JobRecord, answer: Why) -> Why:
    before, inside, at = _before(decision, job)
    waiting = decision.state.roster.waiting
    ranking = decision.ranking
    rows = ranking.row[before]
    counts = ranking.count[before]
    same_team = waiting.table["share"][rows] == job.share
    hosts = decision.state.hosts.table
    rivals = before[hosts[waiting.table["place"][rows]] @ hosts[job.profile.number]]
    ahead_chips = float((ranking.chips[rivals] * ranking.count[rivals]).sum()) + inside * job.profile.chips
    start = _expected_start(decision, job, ahead_chips)
    reservations = decision.reservations(only=job.uid) if job.profile.chips > 1 else []
    return replace(
        answer,
        place=int(counts.sum()) + inside + 1,
        team_place=int(counts[same_team].sum()) + inside + 1,
        ahead=tuple(islice(_ahead(decision, job, at), _MOST_AHEAD)),
        ahead_chips=ahead_chips,
        start_p50_s=start and start[0],
        start_p90_s=start and start[1],
        reservation=next(iter(reservations), None),
        instead=_instead(decision, job) if answer.reason.code in {"chips", "fragmented", "reserved"} else (),
    )


def _ahead(decision: Decision, job: JobRecord, at: int) -> Iterator[int]:
    """Yield the jobs that come before the job, the first first: those of its own bucket are in it up to entry `at`."""
    ranking, buckets = decision.ranking, decision.state.roster.waiting.rows
    following: dict[int, Iterator[int]] = {}
    for entry in np.flatnonzero(~ranking.running[: at + 1]).tolist():
        row = int(ranking.row[entry])
        uids = following.setdefault(row, buckets[row].uids())
        for uid in islice(uids, int(ranking.count[entry])):
            if uid == job.uid:
                return
            yield uid
    # Of a bucket that has no more entries, as of a sweep at its limit, the others come before the job all the same.
    assert job.bucket is not None
    own = decision.state.roster.waiting.bucket(job.bucket)
    yield from takewhile(lambda uid: uid != job.uid, following.get(own.row) or own.uids())


def _before(decision: Decision, job: JobRecord) -> tuple[Ints, int, int]:
    """Return the waiting entries of other buckets that come before the job, how many of its own do, and its entry."""
    ranking = decision.ranking
    assert job.bucket is not None
    bucket = decision.state.roster.waiting.bucket(job.bucket)
    inside = bucket.place_of(job.since_s, job.uid)
    of_waiting = np.flatnonzero(~ranking.running)
    own = of_waiting[ranking.row[of_waiting] == bucket.row]
    piece = int(np.searchsorted(np.cumsum(ranking.count[own]), inside, side="right"))
    at = own[min(piece, len(own) - 1)] if len(own) else len(ranking.row)
    others = of_waiting[(of_waiting < at) & (ranking.row[of_waiting] != bucket.row)]
    return others, inside, at


def _expected_start(decision: Decision, job: JobRecord, ahead_chips: float) -> tuple[float, float] | None:
    """Return when the job should start, .5 and .9: once its nodes are free and those before it are served."""
    state = decision.state
    chips = ahead_chips + job.profile.chips

    def start_s(pool: int, quantile: float) -> float:
        nodes_s, _ = decision.forecast.gang_start(job.profile, pool, quantile, held=True)
        return max(nodes_s, _turnover_s(decision, pool, quantile, chips))

    pools = state.hosts.pools(job.profile.number)
    first_s, pool = min(((start_s(pool, MEDIAN), pool) for pool in pools), default=(np.inf, -1))
    if not np.isfinite(first_s):
        return None
    return state.clock_s + first_s, state.clock_s + max(first_s, start_s(pool, LATE))


def _turnover_s(decision: Decision, pool: int, quantile: float, chips: float) -> float:
    """Return in how many seconds `pool` will have handed out `chips`: what is free, then what ends, again and again."""
    state, draft = decision.state, decision.draft
    nodes, table = state.pools[pool], state.running.table
    chips -= float(np.maximum(0, draft.free_gpus[pool] + draft.held_gpus[pool]).sum() if nodes.gpus.any() else 0)
    here = (table["pool"] == pool).nonzero()[0]
    if chips <= 0:
        return 0.0
    if not len(here):
        return 0.0
    ends_s = decision.forecast.remaining_s(quantile)[here]
    order = ends_s.argsort(kind="stable")
    freed = table["chips"][here][order].cumsum()
    rounds = max(0.0, np.ceil(chips / freed[-1]) - 1.0)  # whole rounds before the one in which the last chip comes
    rest = chips - rounds * freed[-1]
    one_round_s = float(np.average(ends_s + state.clock_s - table["start_s"][here], weights=table["chips"][here]))
    first_s = float(ends_s[order][min(int(freed.searchsorted(rest)), len(order) - 1)])
    return float(rounds * one_round_s + first_s)


def _instead(decision: Decision, job: JobRecord) -> tuple[Alternative, ...]:
    """Return changes with which the job would start now: fewer nodes, fewer accelerators, another pool or kind."""
    shape, pool = job.profile.shape, job.profile.pool
    tries: list[tuple[str, Shape, str | None]] = []
    tries += [(f"on {n} instead of {shape.nodes} nodes", replace(shape, nodes=n), pool) for n in _fewer(shape.nodes)]
    tries += [(f"with {g} instead of {shape.gpus} per node", replace(shape, gpus=g), pool) for g in _fewer(shape.gpus)]
    if pool is not None:
        tries.append(("in another pool", shape, None))
    if shape.accelerator is not None:
        tries.append((f"on another accelerator than {shape.accelerator}", replace(shape, accelerator=None), pool))
    if shape.same is not None:
        tries.append((f"across several values of {shape.same}", replace(shape, same=None), pool))
    out: list[Alternative] = []
    kinds: set[str] = set()
    for text, changed, where in tries:
        kind = text.split()[0]
        found = None if kind in kinds else _fits_now(decision, changed, where)
        if found is not None:
            kinds.add(kind)
            out.append(Alternative(f"{text}, in {found}", changed.nodes, changed.gpus, found))
    return tuple(out)


def _fewer(count: int) -> list[int]:
    """Return smaller counts to try: one less, then halves."""
    return sorted({count - 1, count // 2, count // 4, 1} - {0, count}, reverse=True) if count > 1 else []


def _fits_now(decision: Decision, shape: Shape, where: str | None) -> str | None:
    draft = decision.draft
    for number, pool in enumerate(decision.state.pools):
        if pool.drained or where not in (None, pool.name):
            continue
        if pool.find(shape, draft.free_gpus[number], draft.free_cpus[number]) is not None:
            return pool.name
    return None
