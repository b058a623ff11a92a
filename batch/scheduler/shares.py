"""The teams' account: what each holds, wants and is due, credits, decayed usage, and the price of fairness.

A *share* is one team's part of one kind of chip; its number is team * 2 + kind (0 accelerators, 1 CPUs of jobs that
want no accelerator). Time enters on a fixed grid (`PolicyConfig.tick_s` since the epoch), so that the account does not
depend on how often anybody looks.
"""

from math import exp, floor

import numpy as np

from batch.model import Team
from batch.scheduler.arrays import Bools, Floats, Ints
from batch.scheduler.fairness import AWS_LEAST_DECAY_S, decayed, max_min, reserved_fraction, unfairness
from batch.scheduler.policy import HOUR_S, PolicyConfig

NUM_KINDS = 2
_CONTENDED = 0.98


class Shares:
    """Arrays over shares. `used`, `demand` and `capacity` are kept by whoever applies events; the rest follows.

    `quota` is infinite where a team has none; `team_used` is what each team holds, of all kinds.
    """

    def __init__(self, policy: PolicyConfig) -> None:
        self._policy = policy
        self.teams: list[Team] = []
        self.numbers: dict[str, int] = {}
        self.capacity = np.zeros(NUM_KINDS)
        self.demand = np.zeros(0)
        self.used = np.zeros(0)
        self.team_used: list[int] = []
        self.weight = np.zeros(0)
        self.quota = np.zeros(0)
        self.has_quotas = False
        self.credit = np.zeros(0)
        self.usage = np.zeros(0)
        self.tokens = np.zeros(0)
        self._last_active_s = np.zeros(0)
        self._hour_used = np.zeros(0)
        self._hour_entitled = np.zeros(0)
        self._entitled = np.zeros(0)
        self._stale = True
        self._tick = -1
        self.theta_chip_h = policy.theta_start_chip_h
        self.unfairness = policy.unfairness_target

    def set_team(self, team: Team) -> int:
        """Add or change a team. Returns its number."""
        number = self.numbers.get(team.name)
        if number is None:
            number = self.numbers[team.name] = len(self.teams)
            self.teams.append(team)
            self.team_used.append(0)
            self._grow()
        self.teams[number] = team
        self.weight[number * NUM_KINDS : (number + 1) * NUM_KINDS] = team.weight
        caps = [np.inf if team.quota is None else float(team.quota) for team in self.teams]
        self.quota = np.repeat(np.array(caps), NUM_KINDS)
        self.has_quotas = bool(np.isfinite(self.quota).any())
        self._stale = True
        return number

    def number_of(self, name: str) -> int:
        """Return the team's number; a name never heard of is a team of weight 1 without quota."""
        number = self.numbers.get(name)
        return self.set_team(Team(name=name)) if number is None else number

    def _grow(self) -> None:
        for name in (
            "demand", "used", "weight", "credit", "usage", "tokens", "_last_active_s", "_hour_used", "_hour_entitled",
        ):  # fmt: skip
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(NUM_KINDS)]))
        self.tokens[-NUM_KINDS:] = self._policy.preemption_burst
        self._last_active_s[-NUM_KINDS:] = -np.inf

    def want(self, share: int, chips: int) -> None:
        """A job of `chips` became eligible (or, negative, left)."""
        self.demand[share] += chips
        self._stale = True

    def use(self, share: int, chips: int) -> None:
        """A job of `chips` got a place (or, negative, gave it back); its demand is told apart."""
        self.used[share] += chips
        self.team_used[share // NUM_KINDS] += chips

    def set_capacity(self, capacity: Floats) -> None:
        """Say how many chips of each kind there are."""
        self.capacity = capacity
        self._stale = True

    @property
    def entitled(self) -> Floats:
        """Return each share's chips by weighted max-min over what it wants now, capped by its team's quota."""
        if self._stale:
            wanted = np.minimum(self.demand, self.quota)
            entitled = np.zeros(len(wanted))
            for kind in range(NUM_KINDS):
                of = slice(kind, None, NUM_KINDS)
                if not wanted[of].any():
                    continue
                entitled[of] = max_min(wanted[of], self.weight[of], self.capacity[kind])
            self._entitled = entitled
            self._stale = False
        return self._entitled

    @property
    def target(self) -> Floats:
        """Return what each share should hold now: its entitlement and its credit (paid back in an hour), by demand."""
        return np.asarray(np.minimum(np.maximum(self.entitled + self.credit / HOUR_S, 0.0), self.demand))

    @property
    def order(self) -> Ints:
        """Return each share's place by decayed usage over weight, least first: who goes first among equals.

        What runs is charged `minimum_run_s` from its start and refunded when it ends, so that a team does not start a
        burst before its first job has cost anything.
        """
        charged = (self.usage + self.used * self._policy.minimum_run_s) / np.maximum(self.weight, 1e-9)
        places = np.empty(len(charged), dtype=np.int64)
        places[charged.argsort(kind="stable")] = np.arange(len(charged))
        return places

    def held_back(self, now_s: float) -> Floats:
        """Return the chips of each kind that are kept for teams that are not active."""
        if self._policy.compute_reservation == 0:
            return np.zeros(NUM_KINDS)
        active = int(self.active(now_s).reshape(-1, NUM_KINDS).any(axis=1).sum())
        return np.floor(self.capacity * reserved_fraction(self._policy.compute_reservation, active))

    def active(self, now_s: float) -> Bools:
        """Say which shares have jobs, or had some within the decay."""
        decay_s = self._policy.share_decay_s or AWS_LEAST_DECAY_S
        return np.asarray((self.demand > 0) | (now_s - self._last_active_s <= decay_s))

    def advance(self, clock_s: float, now_s: float) -> bool:
        """Account for [clock_s, now_s), in which nothing was placed, ended or submitted, split at ticks and hours.

        Returns whether a tick has passed.
        """
        policy = self._policy
        if self._tick < 0:
            self._tick = floor(clock_s / policy.tick_s)
        first, last = self._tick, floor(now_s / policy.tick_s)
        at_s = clock_s
        while self._tick < last:
            hour_s = (floor(self._tick * policy.tick_s / HOUR_S) + 1) * HOUR_S
            upto = min(last, max(self._tick + 1, floor(hour_s / policy.tick_s)))
            self._account(upto - self._tick, at_s, upto * policy.tick_s)
            at_s = upto * policy.tick_s
            self._tick = upto
            if at_s >= hour_s:
                self._end_hour()
        self._hour_used += self.used * (now_s - at_s)
        return last > first

    def _account(self, ticks: int, at_s: float, upto_s: float) -> None:
        """Let `ticks` ticks pass. Nothing changes meanwhile, so the clipped recurrence of credits has a closed form."""
        policy, entitled = self._policy, self.entitled
        seconds = ticks * policy.tick_s
        self._hour_used += self.used * (upto_s - at_s)
        self._hour_entitled += entitled * seconds
        kept = 0.5 ** (policy.tick_s / policy.credit_half_life_s)
        wants = self.demand > 0
        limit = policy.credit_max * entitled * HOUR_S
        gained = (entitled - self.used) * policy.tick_s * (1 - kept**ticks) / (1 - kept)
        credit = np.minimum(np.maximum(self.credit * kept**ticks + gained, -limit), limit)
        self.credit = np.where(wants, credit, 0.0)
        self.usage = decayed(self.usage, self.used, seconds, policy.share_decay_s or AWS_LEAST_DECAY_S)
        self._last_active_s[wants] = upto_s
        refill = policy.preemptions_per_h * seconds / HOUR_S
        self.tokens = np.minimum(policy.preemption_burst, self.tokens + refill)

    def _end_hour(self) -> None:
        """Compare the hour's use with what was due, and move theta towards the unfairness that is wanted."""
        policy = self._policy
        kind = 0 if self.capacity[0] > 0 else 1
        used, due = self._hour_used[kind::NUM_KINDS], self._hour_entitled[kind::NUM_KINDS]
        if self.capacity[kind] > 0 and due.sum() > _CONTENDED * self.capacity[kind] * HOUR_S:
            part = 1.0 - 0.5 ** (1.0 / policy.unfairness_half_life_h)
            self.unfairness += part * (unfairness(used, due) - self.unfairness)
            error = (policy.unfairness_target - self.unfairness) / max(policy.unfairness_target, 1e-9)
            moved = self.theta_chip_h * exp(policy.dual_rate * min(1.0, max(-1.0, error)))
            self.theta_chip_h = min(policy.theta_max_chip_h, max(policy.theta_min_chip_h, moved))
        self._hour_used[:] = 0.0
        self._hour_entitled[:] = 0.0
