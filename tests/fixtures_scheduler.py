"""A queue without a store: turns decisions into the events that one would write, and keeps its own account of nodes."""

from collections import Counter
from dataclasses import dataclass, field

from batch import events
from batch.model import Cause, Dependency, JobSpec, Node, Pool, Shape, SweepSpec, Team, Tier
from batch.scheduler import Place, PolicyConfig, Preempt, SchedulerState, decide

START_S = 1_700_000_000.0


@dataclass
class Fleet:
    """A scheduler's state and what an outsider knows: who is where, since when, and who was stopped for whom."""

    policy: PolicyConfig = field(default_factory=PolicyConfig)
    now_s: float = START_S

    def __post_init__(self) -> None:
        self.state = SchedulerState(self.policy, lambda uid: (self.specs[uid], self.since_s[uid]))
        self.specs: dict[int, JobSpec] = {}
        self.since_s: dict[int, float] = {}
        self.places: dict[int, Place] = {}
        self.stopping: dict[int, int] = {}
        self.stopped_for: dict[int, set[int]] = {}
        self.attempts: Counter[int] = Counter()
        self.nodes: dict[tuple[str, str], Node] = {}
        self.ended: dict[int, str] = {}
        self.fence = 0
        self.next_uid = 1

    def apply(self, event: events.Event) -> None:
        self.state.apply(event)

    def pool(self, name: str = "p", nodes: int = 4, *, gpus: int = 8, drained: bool = False, **about: object) -> None:
        racks = about.get("racks", 1)
        assert isinstance(racks, int)
        accelerator = about.get("accelerator")
        assert accelerator is None or isinstance(accelerator, str)
        made = tuple(
            Node(f"{name}{n}", gpus, 8 * max(gpus, 1), accelerator, (("rack", f"r{n % racks}"),)) for n in range(nodes)
        )
        self.nodes |= {(name, node.name): node for node in made}
        self.apply(events.PoolSet(time_s=self.now_s, pool=Pool(name=name, nodes=made, drained=drained)))

    def team(self, name: str, weight: float = 1.0, quota: int | None = None) -> None:
        self.apply(events.TeamSet(time_s=self.now_s, team=Team(name=name, weight=weight, quota=quota)))

    def submit(self, gpus: int = 1, nodes: int = 1, **about: object) -> int:
        uid = self.next_uid
        self.next_uid += 1
        shape = Shape(nodes=nodes, gpus=gpus, same=about.pop("same", None), accelerator=about.pop("accelerator", None))  # type: ignore[arg-type]
        self.specs[uid] = JobSpec(kind="command", payload={}, shape=shape, **about)  # type: ignore[arg-type]
        self.since_s[uid] = self.now_s
        self.apply(events.JobSubmitted(time_s=self.now_s, uid=uid, spec=self.specs[uid]))
        return uid

    def sweep(self, members: int, *, max_running: int | None = None, stop_if_failed: float | None = None) -> int:
        uid = self.next_uid
        template = JobSpec(kind="command", payload={}, shape=Shape(gpus=1))
        axes = (("seed", tuple(str(n) for n in range(members))),)
        spec = SweepSpec(template=template, axes=axes, max_running=max_running, stop_if_failed=stop_if_failed)
        self.next_uid += members + 1
        self.specs |= dict.fromkeys(range(uid + 1, uid + 1 + members), template)
        self.apply(events.SweepSubmitted(time_s=self.now_s, uid=uid, first_uid=uid + 1, spec=spec))
        return uid

    def decide(self) -> list[Place | Preempt]:
        """Decide, check that deciding again says the same, and return what is to be done."""
        actions = decide(self.state, self.now_s)
        assert decide(self.state, self.now_s) == actions
        assert all(isinstance(action, Place | Preempt) for action in actions)
        return [action for action in actions if isinstance(action, Place | Preempt)]

    def act(self, *, grace: bool = False) -> list[Place | Preempt]:
        """Decide and do it. Without `grace` victims stop at once, and the room is given out by deciding again."""
        actions = self.decide()
        for action in actions:
            if isinstance(action, Place):
                self._place(action)
            else:
                self._ask_to_stop(action)
        if not grace and any(isinstance(action, Preempt) for action in actions):
            for uid in list(self.stopping):
                self.stop(uid)
            return actions + self.act()
        return actions

    def _place(self, action: Place) -> None:
        assert action.uid not in self.places, "placed twice"
        self.fence += 1
        self.attempts[action.uid] += 1
        self.places[action.uid] = action
        self.check_nodes()
        self.apply(
            events.JobPlaced(
                time_s=self.now_s,
                uid=action.uid,
                attempt=self.attempts[action.uid],
                fence=self.fence,
                pool=action.pool,
                nodes=action.nodes,
            )
        )

    def _ask_to_stop(self, action: Preempt) -> None:
        assert action.uid in self.places
        assert action.beneficiary not in self.places
        assert action.bill_s > 0
        assert action.beneficiary not in self.stopping
        # A job that was stopped for another never stops that one.
        assert action.uid not in self.stopped_for.get(action.beneficiary, set())
        self.stopped_for.setdefault(action.uid, set()).add(action.beneficiary)
        self.stopping[action.uid] = action.beneficiary
        self.apply(
            events.JobStopping(
                time_s=self.now_s,
                uid=action.uid,
                attempt=self.attempts[action.uid],
                then="queued",
                reason=action.reason,
                beneficiary=action.beneficiary,
            )
        )

    def stop(self, uid: int, cause: Cause = Cause.PREEMPTION, *, then: str = "queued", eligible_s: float = 0.0) -> None:
        """An attempt is over and the job is not."""
        self.stopping.pop(uid, None)
        del self.places[uid]
        self.apply(
            events.JobStopped(
                time_s=self.now_s,
                uid=uid,
                attempt=self.attempts[uid],
                cause=cause,
                then=then,
                eligible_s=eligible_s or self.now_s,
            )
        )

    def end(self, uid: int, state: str = "succeeded") -> None:
        """A job is over."""
        self.stopping.pop(uid, None)
        self.places.pop(uid, None)
        self.ended[uid] = state
        self.apply(events.JobEnded(time_s=self.now_s, uid=uid, state=state, attempt=self.attempts[uid]))

    def saved(self, uid: int) -> None:
        """A job reported a durable checkpoint, made now."""
        attempt = self.attempts[uid]
        self.apply(events.JobCheckpointed(time_s=self.now_s, uid=uid, attempt=attempt, saved_s=self.now_s))

    def check_nodes(self) -> None:
        """No node has more on it than it has, no gang is half placed, no gang is twice on one node."""
        used: Counter[tuple[str, str]] = Counter()
        for uid, place in self.places.items():
            shape = self.specs[uid].shape
            assert len(place.nodes) == shape.nodes == len(set(place.nodes))
            for node in place.nodes:
                used[place.pool, node] += shape.gpus
        for key, gpus in used.items():
            assert gpus <= self.nodes[key].gpus

    def used(self, team: str) -> int:
        """Return the chips that the team holds."""
        return sum(self.specs[uid].shape.chips for uid in self.places if self.specs[uid].team == team)


__all__ = ["START_S", "Cause", "Dependency", "Fleet", "Shape", "Tier"]


def fleet(nodes: int = 1, policy: PolicyConfig | None = None, **about: object) -> Fleet:
    """Return a fleet with one pool."""
    made = Fleet(policy or PolicyConfig())
    made.pool(nodes=nodes, **about)  # type: ignore[arg-type]
    return made


def placed(actions: list[Place | Preempt]) -> list[int]:
    """Return the jobs that start."""
    return [action.uid for action in actions if isinstance(action, Place)]
