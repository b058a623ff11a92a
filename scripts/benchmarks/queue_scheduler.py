"""How long the scheduler takes from an event to its decision, and to say why, with a long queue, everything on."""

import gc
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from batch import events
from batch.model import Cause, JobSpec, Node, Pool, Shape, SweepSpec, Team, Tier
from batch.scheduler import Action, Place, PolicyConfig, Preempt, SchedulerState, decide, why

NUM_TEAMS = 50
NUM_POOLS = 6
NODES_PER_POOL = 64
SHAPES = tuple(
    Shape(nodes=nodes, gpus=gpus, cpus=4 * gpus)
    for nodes, gpus in ((1, 1), (1, 2), (1, 4), (1, 8), (2, 8), (4, 8), (8, 8), (1, 3), (1, 6), (2, 4), (3, 8), (16, 8))
)
_START_S = 1_760_000_000.0
_MOST_ROUNDS = 20


@dataclass
class Cluster:
    """A scheduler under load: 50 teams (some with quotas), 12 shapes, 3 tiers, 6 pools of 64 nodes with 8 accelerators.

    Every other shape insists on a pool; some have deadlines; a tenth of them are members of sweeps with a limit and a
    breaker; jobs report checkpoints. `seed` fixes everything but the times that are measured.
    """

    pending: int
    seed: int = 0
    policy: PolicyConfig = field(default_factory=lambda: PolicyConfig(compute_reservation=10))

    def __post_init__(self) -> None:
        """Submit `pending` jobs and fill the pools."""
        self.random = random.Random(self.seed)
        self.state = SchedulerState(self.policy)
        self.now_s = _START_S
        self.running: dict[int, int] = {}
        self.fence = 0
        self.next_uid = 1
        for number in range(NUM_POOLS):
            nodes = tuple(Node(f"p{number}n{n}", gpus=8, cpus=64) for n in range(NODES_PER_POOL))
            self.apply(events.PoolSet(time_s=self.now_s, pool=Pool(name=f"p{number}", nodes=nodes)))
        for number in range(NUM_TEAMS):
            team = Team(name=f"t{number}", weight=1 + number % 3, quota=None if number % 5 else 256)
            self.apply(events.TeamSet(time_s=self.now_s, team=team))
        while self.state.waiting_count < self.pending:
            self.submit()
        while self.step(ends=0):
            pass

    def apply(self, event: events.Event) -> None:
        """Hand one event to the scheduler."""
        self.state.apply(event)

    def submit(self) -> None:
        """Submit one job, or a sweep of a hundred."""
        pick = self.random
        kind = pick.randrange(len(SHAPES))
        spec = JobSpec(
            kind="command",
            payload={},
            shape=SHAPES[kind],
            team=f"t{pick.randrange(NUM_TEAMS)}",
            tier=pick.choices(list(Tier), (1, 6, 3))[0],
            recipe=f"r{pick.randrange(20)}",
            time_limit_s=pick.choice((None, 3600.0, 86400.0)),
            deadline_s=self.now_s + 86400.0 * pick.randrange(1, 4) if pick.random() < 0.02 else None,
            pool=f"p{kind % NUM_POOLS}" if kind % 2 else None,
        )
        if pick.random() < 0.001:
            axes = (("seed", tuple(str(seed) for seed in range(100))),)
            sweep = SweepSpec(template=spec, axes=axes, max_running=8, stop_if_failed=0.2)
            uid = self.next_uid
            self.apply(events.SweepSubmitted(time_s=self.now_s, uid=uid, first_uid=uid + 1, spec=sweep))
            self.next_uid += 101
        else:
            self.apply(events.JobSubmitted(time_s=self.now_s, uid=self.next_uid, spec=spec))
            self.next_uid += 1

    def step(self, ends: int) -> int:
        """End `ends` jobs, decide, and do what was decided; victims stop at once. Returns the number of placements."""
        for _ in range(min(ends, len(self.running))):
            uid = self.random.choice(list(self.running))
            attempt = self.running.pop(uid)
            state = "failed" if self.random.random() < 0.1 else "succeeded"
            self.apply(events.JobEnded(time_s=self.now_s, uid=uid, state=state, attempt=attempt))
        return self._carry_out(decide(self.state, self.now_s))

    def settle(self) -> None:
        """Decide until there is nothing left to do, as a controller does after each event."""
        for _ in range(_MOST_ROUNDS):
            actions = decide(self.state, self.now_s)
            if not actions:
                return
            self._carry_out(actions)

    def _carry_out(self, actions: Sequence[Action]) -> int:
        placed = 0
        for action in actions:
            if isinstance(action, Place):
                placed += 1
                self._place(action)
            elif isinstance(action, Preempt):
                self._stop(action)
        return placed

    def _place(self, action: Place) -> None:
        self.fence += 1
        self.running[action.uid] = self.fence
        self.apply(
            events.JobPlaced(
                time_s=self.now_s,
                uid=action.uid,
                attempt=self.fence,
                fence=self.fence,
                pool=action.pool,
                nodes=action.nodes,
            )
        )

    def _stop(self, action: Preempt) -> None:
        attempt = self.running.pop(action.uid)
        stopping = events.JobStopping(
            time_s=self.now_s,
            uid=action.uid,
            attempt=attempt,
            then="queued",
            reason=action.reason,
            beneficiary=action.beneficiary,
        )
        self.apply(stopping)
        self.apply(
            events.JobStopped(
                time_s=self.now_s,
                uid=action.uid,
                attempt=attempt,
                cause=Cause.PREEMPTION,
                then="queued",
                eligible_s=self.now_s,
            )
        )


def measure(pending: int, *, events_measured: int = 1000, whys: int = 200, seed: int = 0) -> Mapping[str, float]:
    """Return latencies (ms) from one job's end to the decision, and of `why`, and placements per second of both.

    Time goes on by 5 s with each event, and as many jobs are submitted as start, so that the queue keeps its length.
    `why` is asked after each of `whys` further ends: before ("sooner"), and once the scheduler has done what follows.
    """
    cluster = Cluster(pending, seed=seed)
    latencies, placed, busy_s = [], 0, 0.0
    gc.collect()
    gc.freeze()  # as the controller does once it has its queue: what is there stays
    for _ in range(events_measured):
        cluster.now_s += 5.0
        for uid in cluster.random.sample(list(cluster.running), min(3, len(cluster.running))):
            cluster.apply(
                events.JobCheckpointed(
                    time_s=cluster.now_s, uid=uid, attempt=cluster.running[uid], saved_s=cluster.now_s
                )
            )
        began = time.perf_counter()
        count = cluster.step(ends=1)
        latencies.append(time.perf_counter() - began)
        busy_s += latencies[-1]
        placed += count
        for _ in range(count):
            cluster.submit()
    sooner, answers = [], []
    for _ in range(whys):
        cluster.now_s += 5.0
        cluster.step(ends=1)
        sooner.append(_time_of_why(cluster))
        cluster.settle()
        answers.append(_time_of_why(cluster))
    gc.unfreeze()
    return {
        "decide p50": float(np.percentile(latencies, 50)) * 1e3,
        "decide p99": float(np.percentile(latencies, 99)) * 1e3,
        "placements/s": placed / busy_s,
        "why p50": float(np.percentile(answers, 50)) * 1e3,
        "why p99": float(np.percentile(answers, 99)) * 1e3,
        "why sooner p99": float(np.percentile(sooner, 99)) * 1e3,
    }


def _time_of_why(cluster: Cluster) -> float:
    bucket = cluster.random.choice(cluster.state.roster.waiting.rows)
    uid = next(bucket.uids())
    began = time.perf_counter()
    why(cluster.state, uid, cluster.now_s)
    return time.perf_counter() - began


def main() -> None:
    """Print the figures for 100,000 and a million pending jobs."""
    for pending in (100_000, 1_000_000):
        figures = measure(pending)
        print(f"{pending} pending: " + ", ".join(f"{name} {value:.2f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
