"""Search over models, machines and their number, by bounds, and the Pareto front of what came out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.errors import DoesNotFitError
from planner.forecasts.evidence import refuse
from planner.hardware import Catalogue, Instance, Terms
from planner.recommendation.conditions import FAILURES_SOURCE, HOUR_S, Conditions, Limits, Machines
from planner.recommendation.ladders import Rung
from planner.recommendation.loss_models import LossModel
from planner.recommendation.plans import DAY_S, Plan, Planner

_GOOD_ENOUGH = 0.01
"""Where there is no single answer: of loss above the least, from which on quicker or cheaper counts more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to do, and what else could be done."""

    choice: Plan
    why: str
    is_single_answer: bool
    is_forced: bool
    """Whether the choice lies beyond the evidence."""
    front: tuple[Plan, ...]
    """Plans that none other beats in loss, spending and days; by loss."""
    looked_at: int
    """Pairs of model and machines that were planned; the others were bounded away."""
    of: int
    source: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "choice": self.choice.to_json(),
            "why": self.why,
            "is_single_answer": self.is_single_answer,
            "is_forced": self.is_forced,
            "front": [plan.to_json() for plan in self.front],
            "planned": self.looked_at,
            "possible": self.of,
            "loss_source": self.source,
            "failures_source": FAILURES_SOURCE,
            "notes": list(self.notes),
        }


def machines_to_be_had(
    catalogue: Catalogue, instances: Sequence[Instance], limits: Limits
) -> tuple[list[Machines], list[str]]:
    """Return every number of whole instances, doubling, of each kind and terms; and notes on what is left out."""
    found: list[Machines] = []
    notes: list[str] = []
    for instance in instances:
        prices = {terms: catalogue.price(instance, terms) for terms in Terms}
        offers = [(terms, price) for terms, price in prices.items() if price is not None]
        if not offers:
            why = catalogue.why_no_price.get(instance.name, "not in the table")
            notes.append(f"{instance.name}: no price is known ({why}); give yours by --machines")
        if not offers and limits.usd is not None:
            continue
        numbers = [instance.count << doubled for doubled in range(limits.devices.bit_length())]
        numbers = [devices for devices in numbers if devices <= limits.devices]
        if offers:
            found += [Machines(instance, devices, terms, price) for terms, price in offers for devices in numbers]
        else:
            found += [Machines(instance, devices, Terms.ON_DEMAND, None) for devices in numbers]
        if instance.count > limits.devices:
            notes.append(f"{instance.name}: one has {instance.count} accelerators, {limits.devices} may be used")
    if found and not any(machines.terms is Terms.SPOT for machines in found):
        notes.append("spot: no price is known; give yours by --machines with terms: spot")
    return found, notes


def recommend(
    rungs: Sequence[Rung],
    machines: Sequence[Machines],
    limits: Limits,
    losses: LossModel,
    conditions: Conditions | None = None,
    *,
    force: bool = False,
    notes: Sequence[str] = (),
) -> Recommendation:
    """Return the plan of least loss, and the front where dollars, days and loss pull apart.

    Each model is planned on each machines in the order of a bound on its loss, until no bound is below what is there.

    Raises:
        DoesNotFitError: no model fits, or the budget does not pay a step.
        RefusedError: the choice lies beyond the evidence, unless forced.
    """
    planner = Planner(limits, conditions or Conditions(), losses)
    plans: list[Plan] = []
    looked_at = 0
    for bounds, where in _by_bound(planner, rungs, machines):
        if bounds and _is_beaten(bounds[0][0], where, planner, plans):
            continue
        found, tried = _best_on(planner, bounds, where)
        looked_at += tried
        if found is not None:
            plans.append(found)
    if not plans:
        raise DoesNotFitError(_why_nothing(planner, rungs, machines, notes))
    choice, why = _chosen(plans, limits)
    if not force:
        refuse(choice.evidence)
        plans = [plan for plan in plans if not plan.evidence.reasons()]
    return Recommendation(
        choice=choice,
        why=why,
        is_single_answer=limits.has_single_answer,
        is_forced=bool(choice.evidence.reasons()),
        front=front_of(plans),
        looked_at=looked_at,
        of=len(rungs) * len(machines),
        source=losses.source,
        notes=(*notes, *choice.evidence.notes(), *_assumed(choice, planner.conditions)),
    )


def front_of(plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """Return the plans that none other beats or equals in loss, spending and days, by loss.

    Spending is dollars where all have a price, device-hours otherwise.
    """
    pairs = zip(plans, _spending(plans), strict=True)
    ordered = sorted(((plan.loss, spent, plan.days), at) for at, (plan, spent) in enumerate(pairs))
    front: list[tuple[tuple[float, float, float], int]] = []
    for values, at in ordered:
        if not any(all(theirs <= ours for theirs, ours in zip(other, values, strict=True)) for other, _ in front):
            front.append((values, at))
    return tuple(plans[at] for _, at in front)


def _spending(plans: Sequence[Plan]) -> list[float]:
    dollars = [plan.usd for plan in plans if plan.usd is not None]
    return dollars if len(dollars) == len(plans) else [plan.device_hours for plan in plans]


_Bounds = list[tuple[float, Rung]]


def _by_bound(
    planner: Planner, rungs: Sequence[Rung], machines: Sequence[Machines]
) -> list[tuple[_Bounds, Machines]]:
    """Return for each machines its models by the least loss that they may have, the most promising machines first."""
    found = []
    params = np.array([rung.params for rung in rungs])
    for where in machines:
        tokens = np.array([planner.most_tokens(rung, where) for rung in rungs])
        can = tokens > 0.0
        least = np.full(len(rungs), np.inf)
        if can.any():
            least[can] = planner.losses.losses(params[can], tokens[can])[0]
        bounds = [(float(least[at]), rungs[at]) for at in np.argsort(least, kind="stable") if can[at]]
        found.append((bounds, where))
    return sorted(found, key=lambda pair: pair[0][0][0] if pair[0] else float("inf"))


def _best_on(planner: Planner, bounds: _Bounds, where: Machines) -> tuple[Plan | None, int]:
    best: Plan | None = None
    tried = 0
    for bound, rung in bounds:
        if best is not None and bound >= best.loss:
            break
        tried += 1
        plan = planner.plan(rung, where)
        if plan is not None and (best is None or plan.loss < best.loss):
            best = plan
    return best, tried


def _is_beaten(bound: float, where: Machines, planner: Planner, plans: Sequence[Plan]) -> bool:
    """Say whether a plan that is there has no more loss than any there can have, for no more dollars, hours and days.

    A run on machines lasts until its limit, but for less than a step.
    """
    seconds, _ = where.training_s(planner.limits, 0.0, planner.conditions)
    hours = seconds * where.devices / HOUR_S
    per_hour = where.usd_per_device_hour
    return any(
        plan.loss <= bound
        and plan.device_hours <= hours
        and (plan.usd is None or (per_hour is not None and plan.usd <= hours * per_hour))
        and plan.days <= seconds / DAY_S
        for plan in plans
    )


def _chosen(plans: Sequence[Plan], limits: Limits) -> tuple[Plan, str]:
    least = min(plans, key=lambda plan: (plan.loss, plan.device_hours))
    if limits.has_single_answer:
        return least, "the least loss within the budget and by the deadline"
    near = [plan for plan in plans if plan.loss <= (1.0 + _GOOD_ENOUGH) * least.loss]
    beside = f"within {_GOOD_ENOUGH:.0%} of the least loss, which is {least.loss:.4f}"
    if limits.deadline_s is None:
        quickest = min(near, key=lambda plan: plan.days)
        return quickest, f"no deadline, so no single answer: the quickest {beside} in {least.days:,.0f} days"
    cheapest = near[int(np.argmin(_spending(near)))]
    price = "" if least.usd is None else f" for ${least.usd:,.0f}"
    return cheapest, f"no budget, so no single answer: the cheapest {beside}{price}"


def _why_nothing(
    planner: Planner, rungs: Sequence[Rung], machines: Sequence[Machines], notes: Sequence[str]
) -> str:
    if not machines:
        return "nothing can be had: " + ("; ".join(notes) or "no kind of machines was given")
    smallest = min(rungs, key=lambda rung: rung.params)
    best = max(machines, key=lambda one: planner.most_tokens(smallest, one))
    seconds, ended_by = best.training_s(planner.limits, smallest.params, planner.conditions)
    if seconds <= 0.0:
        hours = best.infer_hours(smallest.params, planner.conditions)
        return (
            f"nothing is left for training: inference of {smallest.model.name} alone takes {hours:,.0f} device-hours "
            f"on {best.instance.name} and uses up {ended_by}; ask for fewer tokens or give more"
        )
    return (
        f"none of {len(rungs)} models makes a step: training ends by {ended_by} after {seconds:,.0f} s on "
        f"{best.devices} accelerators of {best.instance.name}, or none fits; give more, or ask for smaller models"
    )


def _assumed(choice: Plan, conditions: Conditions) -> list[str]:
    notes = [f"failures: {FAILURES_SOURCE}"]
    if choice.machines.terms is Terms.SPOT:
        notes.append(f"spot: {conditions.reclaims_per_instance_hour:g} reclaims of an instance in an hour are assumed")
    if conditions.checkpoint_s is None:
        notes.append("checkpoints: the copy into the host's memory at 10 GB/s from each device, estimated")
    if conditions.infer_tokens:
        notes.append(f"inference: 2N FLOPs a token at {conditions.infer_mfu:.0%} of the peak, assumed")
    return notes
