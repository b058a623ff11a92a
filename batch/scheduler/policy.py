"""The constants of the policy, and its terms as small pure functions: what decides lives here and nowhere else.

A job's value is a completion rate per chip (the Gittins index of its class, learned online, over a power of its size)
plus a price while its team is below its entitlement: the Lagrangian of (sum of completion times + price x unfairness),
where unfairness is half the L1 distance between the teams' shares and their weighted max-min shares.
"""

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite

import numpy as np

from batch.model import Tier
from batch.scheduler.arrays import Bools, Floats

HOUR_S = 3600.0
NUM_SEVERITIES = 3


class Victims(StrEnum):
    """By what victims are chosen among those worth less: what stopping them loses, or how briefly they have run.

    The second is what queues without checkpoints do; it is here to be compared with.
    """

    BILL = "bill"
    YOUNGEST = "youngest"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """Every constant, with its unit. Values were found on the Philly trace, windows of September and October 2017.

    Order. `theta_start_chip_h`, in chip-hours, reads: jobs expected to cost less than theta go before fairness, dearer
    ones yield to it; the price is 1/theta per second. `grad` raises the price of a team far below its entitlement
    up to (1 + grad) times; `team_hysteresis` raises the target of a team for what it runs already. A job's index is its
    class's rate over chips ** `gang_exponent` (1: per chip).
    `age_after_s` and `age_rate_per_h`: a job that has waited longer than the first since it last ran gains that part
    of its index, and of the price, for each further hour, without bound: nothing starves.
    A gang of `gang_guarantee_chips` or more that has been kept waiting, in all, longer than `gang_guarantee_s` and
    `gang_guarantee_stretch` of the time it has run is *due*, for good: it goes before everything else of its tier and,
    once it runs, is not preempted again.
    A job whose deadline comes near gets up to `deadline_weight` prices more, from when less than `deadline_margin`
    times its expected run time is left beside it.

    Control of theta (dual ascent on the price). Each contended hour the unfairness, averaged with a half-life of
    `unfairness_half_life_h`, is compared with `unfairness_target`; theta moves by at most `dual_rate` (relative) within
    [`theta_min_chip_h`, `theta_max_chip_h`].

    Learning. `prior_weight`: how many observed ends the parent's hazard counts for. `rebuild_s`: grid on which
    indices are recomputed.

    Credits. A team below its entitlement gathers credit, with half-life `credit_half_life_s`, up to `credit_max` hours
    of its entitlement; `tick_s` is the grid of that account.

    Decayed usage (AWS Batch's fair share). `share_decay_s` is the half-life of the chip-seconds by which equal claims
    of teams are ordered (shareDecaySeconds; AWS reads 0 as 600 s, as we do). `compute_reservation` in percent holds
    back (R/100)^active of the chips for teams that are not active (computeReservation).

    Preemption. A running job's index counts (1 + `hysteresis` + `hysteresis_per_preemption` x times preempted) times. A
    waiting job preempts after `patience_fraction` of its expected time, at most `patience_max_s`, and after
    `resume_patience_s` if it ran before. Room that should come by itself within `soon_s`, as others end, it waits for
    instead, at most `patience_max_s` more. Nothing is preempted before `minimum_run_s`. What has no checkpoint younger
    than `checkpoint_age_s` is spared for `checkpoint_wait_s` beyond the patience, for `next_checkpoint_wait_s` if it
    reports them. `save_s` and `restart_s` are what stopping and starting again cost. `assumed_checkpoint_age_s` is the
    age charged while nobody of a class reports checkpoints.
    `preemptions_per_h` and `preemption_burst` bound how often one team may preempt (a token bucket).
    `victims`: by what they are chosen.
    `claim_s`: how long room made by preemption is kept for whom it was made, after the last victim has left.

    Reservations. Blocked gangs hold room; `reservations_per_pool` of them get an expected start.
    """

    theta_start_chip_h: float = 8.0
    theta_min_chip_h: float = 1.0
    theta_max_chip_h: float = 64.0
    unfairness_target: float = 0.077
    unfairness_half_life_h: float = 24.0
    dual_rate: float = 0.3
    grad: float = 2.0
    team_hysteresis: float = 0.05
    gang_exponent: float = 0.5
    age_after_s: float = 72 * HOUR_S
    age_rate_per_h: float = 0.1
    gang_guarantee_chips: int = 16
    gang_guarantee_s: float = 4 * HOUR_S
    gang_guarantee_stretch: float = 0.5
    deadline_weight: float = 4.0
    deadline_margin: float = 3.0
    prior_weight: float = 10.0
    rebuild_s: float = HOUR_S
    credit_half_life_s: float = 4 * HOUR_S
    credit_max: float = 0.1
    tick_s: float = 60.0
    share_decay_s: float = 0.0
    compute_reservation: float = 0.0
    hysteresis: float = 0.5
    hysteresis_per_preemption: float = 0.2
    patience_fraction: float = 0.05
    patience_max_s: float = HOUR_S
    resume_patience_s: float = 2 * HOUR_S
    soon_s: float = 600.0
    minimum_run_s: float = 300.0
    checkpoint_age_s: float = 120.0
    checkpoint_wait_s: float = HOUR_S
    next_checkpoint_wait_s: float = 4 * HOUR_S
    save_s: float = 30.0
    restart_s: float = 30.0
    assumed_checkpoint_age_s: float = 300.0
    preemptions_per_h: float = 120.0
    preemption_burst: float = 60.0
    victims: Victims = Victims.BILL
    claim_s: float = 120.0
    reservations_per_pool: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for a value that cannot be meant."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name != "victims" and not (isfinite(value) and value >= 0):
                raise ValueError(f"PolicyConfig.{name} = {value}: must be finite and at least 0")
        for name in ("deadline_margin", "theta_min_chip_h", "tick_s", "rebuild_s", "credit_half_life_s"):
            if getattr(self, name) == 0:
                raise ValueError(f"PolicyConfig.{name} = 0: must be more than 0")
        if not 0 <= self.compute_reservation <= 99:
            raise ValueError(f"PolicyConfig.compute_reservation = {self.compute_reservation}: must be 0 to 99 percent")
        if not self.theta_min_chip_h <= self.theta_start_chip_h <= self.theta_max_chip_h:
            raise ValueError(
                f"PolicyConfig.theta_start_chip_h = {self.theta_start_chip_h}: must lie in "
                f"[{self.theta_min_chip_h}, {self.theta_max_chip_h}], theta_min_chip_h to theta_max_chip_h"
            )


def divisor_of(chips: int, policy: PolicyConfig) -> float:
    """Return chips^gamma. A job's index, 1/s, is its class's Gittins rate over that."""
    return float((np.array([float(chips)]) ** policy.gang_exponent)[0])


def price_of(theta_chip_h: float) -> float:
    """Return the price, 1/s per chip, of a team's claim below its entitlement."""
    return 1.0 / (HOUR_S * theta_chip_h)


def team_target(target_chips: Floats, running: Bools, policy: PolicyConfig) -> Floats:
    """Return the target by which a job is judged: a little more for what runs, so that wavering stops nobody."""
    return np.asarray(np.where(running, target_chips * (1.0 + policy.team_hysteresis) + 1.0, target_chips))


def due_at_s(since_s: float, attained_s: float, chips: int, policy: PolicyConfig) -> float:
    """Return when a job that waits from now on becomes due: submission, run time so far, and the guarantee on top."""
    if chips < policy.gang_guarantee_chips:
        return inf
    return since_s + attained_s + policy.gang_guarantee_s + policy.gang_guarantee_stretch * attained_s


def price_factor(before_chips: Floats, target_chips: Floats, chips: Floats, policy: PolicyConfig) -> Floats:
    """Return how many prices a job gets whose team has `before_chips` of more valuable jobs and is due `target_chips`.

    Nothing if less than half of the job lies below the target; otherwise 1, and up to `grad` more the lower it lies.
    """
    inside = (target_chips - before_chips) >= 0.5 * chips - 1e-9
    depth = 1.0 - np.minimum(1.0, before_chips / np.maximum(1.0, target_chips))
    return np.asarray(np.where(inside, 1.0 + policy.grad * depth, 0.0))


def age_factor(waited_s: Floats, policy: PolicyConfig) -> Floats:
    """Return what age adds, as a part of index and price: 0 for `age_after_s`, then growing without bound."""
    return np.asarray(np.maximum(0.0, waited_s - policy.age_after_s) * (policy.age_rate_per_h / HOUR_S))


def deadline_factor(left_s: Floats, expected_s: Floats, policy: PolicyConfig) -> Floats:
    """Return how many prices a deadline in `left_s` adds to a job expected to run `expected_s`.

    Nothing while `deadline_margin` times the run time fits in beside it, all of it when nothing does. A deadline that
    has passed adds nothing: it hurts others only.
    """
    far = 1.0 - (left_s / np.maximum(1.0, expected_s) - 1.0) / policy.deadline_margin
    near = np.minimum(np.maximum(far, 0.0), 1.0)
    return np.asarray(np.where(left_s > 0, near * policy.deadline_weight, 0.0))


def running_factor(preemptions: int, policy: PolicyConfig) -> float:
    """Return what a running job's index is multiplied by, so that equals do not displace one another."""
    return 1.0 + policy.hysteresis + policy.hysteresis_per_preemption * preemptions


def patience_s(rate_per_s: float, ran_before: bool, tier: Tier, policy: PolicyConfig) -> float:
    """Return how long a job waits before it may preempt: a part of its expected time (1 / rate), longer if it ran.

    Interactive work does not wait.
    """
    if tier is Tier.INTERACTIVE:
        return 0.0
    patience = min(policy.patience_fraction / max(rate_per_s, 1e-12), policy.patience_max_s)
    return max(patience, policy.resume_patience_s) if ran_before else patience


def served_soon(beyond_s: float, room_chips: float, chips: int, policy: PolicyConfig) -> int:
    """Return how many jobs of `chips` had better wait than preempt: there will be room for them anyway.

    `room_chips` should be given back within `soon_s`, beside what those before them will take. None once they have
    waited `patience_max_s` beyond their patience (`beyond_s`): what was expected did not come.
    """
    return max(0, int(room_chips // chips)) if beyond_s < policy.patience_max_s else 0


def severity(beyond_s: float, policy: PolicyConfig) -> int:
    """Return whom a job may stop that has waited `beyond_s` longer than its patience.

    0: what has a fresh checkpoint; 1: also what reports none; 2: everybody. Who reports them is spared longer: there
    will be another, and with it a moment when stopping loses little.
    """
    return bisect_right(severities_from_s(policy), beyond_s)


def severities_from_s(policy: PolicyConfig) -> tuple[float, float]:
    """Return from how many seconds beyond its patience on a job has severity 1, and 2."""
    return policy.checkpoint_wait_s, max(policy.checkpoint_wait_s, policy.next_checkpoint_wait_s)


def bill_chip_s(chips: float, unsaved_s: float, policy: PolicyConfig) -> float:
    """Return what preempting costs, in chip-seconds: work since the last durable checkpoint, saving, restarting."""
    return chips * (unsaved_s + policy.save_s + policy.restart_s)


def always_preempts(waiting: Tier, running: Tier) -> bool:
    """Say whether `waiting` displaces `running` whatever the prices: interactive work displaces flex."""
    return waiting is Tier.INTERACTIVE and running is Tier.FLEX
